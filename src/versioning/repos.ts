import type { Instant } from '../base/clock.ts'
import { UnimplementedError } from '../base/errors.ts'
import type { RepoName } from '../base/names.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import type { VersioningPorts } from './ports.ts'

export interface RepoInfo {
  readonly name: RepoName
  readonly createdAt: Instant
  readonly description: string
  /** Grows by the full new size of every file that a finished commit adds or changes. */
  readonly sizeBytes: number
  /** Every repo that this one is made from, near and far, sorted by name. */
  readonly provenance: readonly RepoName[]
}

export interface RepoSpec {
  readonly name: RepoName
  /** Repos that this one is made from directly; theirs are added. */
  readonly provenance: readonly RepoName[]
  readonly description: string
}

/**
 * @throws {RepoExistsError}
 * @throws {RepoNotFoundError} for a provenance repo that does not exist.
 */
export async function createRepo(
  tx: Transaction,
  spec: RepoSpec & { readonly createdAt: Instant },
): Promise<void> {
  throw new UnimplementedError(`createRepo ${spec.name} ${String(tx)}`)
}

/**
 * Replaces description and provenance; what is made from the repo follows.
 *
 * @throws {RepoNotFoundError} for the repo or a provenance repo.
 * @throws {ProvenanceCycleError}
 */
export async function updateRepo(tx: Transaction, spec: RepoSpec): Promise<void> {
  throw new UnimplementedError(`updateRepo ${spec.name} ${String(tx)}`)
}

export async function findRepo(tx: ReadTransaction, name: string): Promise<RepoInfo | undefined> {
  throw new UnimplementedError(`findRepo ${name} ${String(tx)}`)
}

/** @throws {RepoNotFoundError} */
export async function getRepo(tx: ReadTransaction, name: string): Promise<RepoInfo> {
  throw new UnimplementedError(`getRepo ${name} ${String(tx)}`)
}

/**
 * Removes the repo with its commits, branches and staged writes.
 *
 * @throws {RepoNotFoundError}
 * @throws {RepoInUseError} unless `force`.
 */
export async function deleteRepo(
  tx: Transaction,
  name: string,
  options: { readonly force: boolean },
): Promise<void> {
  throw new UnimplementedError(`deleteRepo ${name} ${String(tx)} ${options.force}`)
}

/** Names and descriptions of what is versioned. Names come as text and are parsed here. */
export class Repos {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  async create(spec: {
    readonly name: string
    readonly provenance?: readonly string[]
    readonly description?: string
    /** Changes an existing repo instead; fails when there is none. */
    readonly update?: boolean
  }): Promise<void> {
    throw new UnimplementedError(`${spec.name} ${String(this.#ports)}`)
  }

  /** @throws {RepoNotFoundError} */
  async inspect(name: string): Promise<RepoInfo> {
    throw new UnimplementedError(name)
  }

  /** Latest written first; with `provenance`, only repos made from all of these. */
  async list(options?: { readonly provenance?: readonly string[] }): Promise<readonly RepoInfo[]> {
    throw new UnimplementedError(String(options))
  }

  async delete(name: string, options: { readonly force: boolean }): Promise<void> {
    throw new UnimplementedError(name + String(options))
  }

  /** Deletes every repo by force. */
  async deleteAll(): Promise<void> {
    throw new UnimplementedError('deleteAll')
  }
}
