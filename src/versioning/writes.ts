import type { ByteStream } from '../base/bytes.ts'
import { UnimplementedError } from '../base/errors.ts'
import type { FileName } from './files.ts'
import type { VersioningPorts } from './ports.ts'

/**
 * Many files as one write: all of them are staged by `commit`, or none. Puts run one at a time.
 * Leaving without `commit` abandons them.
 */
export interface BulkWriter extends AsyncDisposable {
  /** Appends to what is there, or replaces it. Not durable before `commit` resolves. */
  put(
    path: string,
    bytes: ByteStream | Uint8Array,
    options?: { readonly overwrite?: boolean },
  ): Promise<void>
  /**
   * Stages everything that was put; durable when it resolves.
   *
   * @throws {FileConflictError} for a file where a directory is, in the commit or among what was
   * put; nothing is staged then.
   * @throws {CommitNotOpenError}
   */
  commit(signal?: AbortSignal): Promise<{ readonly fileCount: number; readonly sizeBytes: number }>
}

/** Writes to open commits. What has been acknowledged is durable. */
export class Writes {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /**
   * Appends `bytes` to the file, or replaces it. The order in which puts are acknowledged is the
   * order of the bytes. A conflict of file and directory shows when the commit is finished.
   *
   * @throws {CommitNotOpenError}
   * @throws {InvalidArgumentError} for the root.
   */
  async put(
    file: FileName,
    bytes: ByteStream | Uint8Array,
    options?: { readonly overwrite?: boolean; readonly signal?: AbortSignal },
  ): Promise<void> {
    throw new UnimplementedError(file.path + String(this.#ports) + String(options) + String(bytes))
  }

  /**
   * Deletes a file, or a directory with all that is below; the root: everything. A path with
   * nothing there is no error.
   *
   * @throws {CommitFinishedError}
   */
  async delete(file: FileName, signal?: AbortSignal): Promise<void> {
    throw new UnimplementedError(file.path + String(signal))
  }

  /** @throws {CommitNotOpenError} */
  async bulk(repo: string, commit: string): Promise<BulkWriter> {
    throw new UnimplementedError(repo + commit)
  }
}
