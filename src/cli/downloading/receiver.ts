import { hexText } from '../../base/bytes.ts'
import type { GetFilesPartFields } from '../../base/download-messages.ts'
import { DataLossError } from '../../base/errors.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { Progress } from '../printing/progress.ts'
import { relativePath } from './selection.ts'
import type { TargetTree } from './target-tree.ts'
import type { UnfinishedFile } from './unfinished-file.ts'

/** A file of which parts are still to come. */
interface Arriving {
  readonly path: string
  readonly sizeBytes: number
  /** Undefined when it cannot be stored. */
  readonly file: UnfinishedFile | undefined
  receivedBytes: number
}

/** Stores files as their parts arrive, in the order in which a server sends them. */
export class Receiver implements Disposable {
  readonly #tree: TargetTree
  readonly #base: string
  readonly #progress: Progress
  #arriving: Arriving | undefined

  /** `base` is where the tree begins in the commit. */
  constructor(tree: TargetTree, base: string, progress: Progress) {
    this.#tree = tree
    this.#base = base
    this.#progress = progress
  }

  /** @throws {DataLossError} when the server sends something else than it announced. */
  take(part: GetFilesPartFields): void {
    const { path, value, more, fileType } = part
    if (this.#arriving !== undefined) {
      this.#goOn(this.#arriving, part)
      return
    }
    const local = relativePath(path, this.#base)
    if (fileType === FileType.DIR) {
      this.#tree.makeDirectory(local)
      return
    }
    if (more) {
      const file = this.#tree.begin(local, hexText(part.hash))
      const arriving = { path: local, sizeBytes: part.sizeBytes, file, receivedBytes: 0 }
      this.#arriving = arriving
      this.#goOn(arriving, part)
      return
    }
    const receivedBytes = sizeOf(value)
    requireWhole(part, receivedBytes)
    this.#progress.addBytes(receivedBytes)
    if (this.#tree.store(local, value)) this.#progress.addFile()
  }

  /** The server has sent all. */
  end(): void {
    if (this.#arriving === undefined) return
    throw new DataLossError(`the server stopped in the middle of ${this.#arriving.path}`)
  }

  [Symbol.dispose](): void {
    this.#arriving?.file?.[Symbol.dispose]()
    this.#arriving = undefined
  }

  #goOn(arriving: Arriving, { path, value, more }: GetFilesPartFields): void {
    const local = relativePath(path, this.#base)
    if (local !== arriving.path) {
      throw new DataLossError(`the server went on with ${path} in the middle of ${arriving.path}`)
    }
    if (arriving.file !== undefined) this.#tree.append(local, arriving.file, value)
    const count = sizeOf(value)
    arriving.receivedBytes += count
    this.#progress.addBytes(count)
    if (more) return
    const { file, receivedBytes, sizeBytes } = arriving
    requireWhole({ path, sizeBytes }, receivedBytes)
    this.#arriving = undefined
    if (file !== undefined && this.#tree.finish(local, file)) this.#progress.addFile()
  }
}

function requireWhole(
  { path, sizeBytes }: { readonly path: string; readonly sizeBytes: number },
  receivedBytes: number,
): void {
  if (receivedBytes === sizeBytes) return
  throw new DataLossError(
    `the server sent ${receivedBytes} bytes of ${path}, which has ${sizeBytes}`,
  )
}

function sizeOf(slices: readonly Uint8Array[]): number {
  let size = 0
  for (const slice of slices) size += slice.length
  return size
}
