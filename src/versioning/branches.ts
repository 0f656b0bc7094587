import { UnimplementedError } from '../base/errors.ts'
import type { BranchName, CommitId, RepoName } from '../base/names.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import type { OnHeadReady, VersioningPorts } from './ports.ts'

export interface BranchInfo {
  readonly repo: RepoName
  readonly name: BranchName
  readonly head: CommitId
}

/** Makes or moves a branch; when the commit is finished, `onHeadReady` hears of it in `tx`. */
export async function setHead(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  branch: BranchInfo,
): Promise<void> {
  throw new UnimplementedError(branch.name + String(tx) + String(onHeadReady))
}

export async function findBranch(
  tx: ReadTransaction,
  repo: string,
  branch: string,
): Promise<BranchInfo | undefined> {
  throw new UnimplementedError(repo + branch + String(tx))
}

/** Names that move from commit to commit. */
export class Branches {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /** `commit` is an id or another branch; open commits are allowed. */
  async set(repo: string, branch: string, commit: string): Promise<void> {
    throw new UnimplementedError(repo + branch + commit + String(this.#ports))
  }

  /** Latest written first; an unknown repo has none. */
  async list(repo: string): Promise<readonly BranchInfo[]> {
    throw new UnimplementedError(repo)
  }

  /** The commits stay. @throws {BranchNotFoundError} */
  async delete(repo: string, branch: string): Promise<void> {
    throw new UnimplementedError(repo + branch)
  }
}
