import { UnimplementedError } from '../base/errors.ts'
import type { CommitInfo, CommitTree } from './commit-records.ts'
import type { CommitName, VersioningPorts } from './ports.ts'

/** Where a new commit goes: all names come as text and are parsed here. */
export interface NewCommit {
  readonly repo: string
  /** A commit id or branch; default: the head of `branch`, else none. */
  readonly parent?: string | undefined
  /** Moves to the new commit at once. */
  readonly branch?: string | undefined
  /** Commits (by id, not by branch) that this one is made from. */
  readonly provenance?: readonly { readonly repo: string; readonly id: string }[] | undefined
}

/** The lives of commits: states and events are in `docs/states/commit.md`. */
export class Commits {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /** @throws {ParentNotFinishedError} and nothing has happened. */
  async start(commit: NewCommit): Promise<CommitName> {
    throw new UnimplementedError(commit.repo + String(this.#ports))
  }

  /** A finished commit of a tree that is stored already; nothing is inherited from the parent. */
  async build(commit: NewCommit & { readonly tree: CommitTree }): Promise<CommitName> {
    throw new UnimplementedError(commit.repo)
  }

  /**
   * Applies what was staged to the parent's tree, all or nothing.
   *
   * @throws {CommitFinishedError}
   * @throws {FileConflictError} when a staged file is where a directory is, or the reverse; the
   * commit stays open and readable, and deleting one of the two repairs it.
   */
  async finish(repo: string, commit: string, signal?: AbortSignal): Promise<CommitInfo> {
    throw new UnimplementedError(repo + commit + String(signal))
  }

  /** `commit` is a branch or an id. */
  async inspect(repo: string, commit: string): Promise<CommitInfo> {
    throw new UnimplementedError(repo + commit)
  }

  /**
   * With `to`: its line of parents, newest first, up to but without `from`. Without: every commit
   * of the repo, latest written first.
   */
  list(options: {
    readonly repo: string
    readonly from?: string | undefined
    readonly to?: string | undefined
    /** 0 = all. */
    readonly countMax?: number | undefined
  }): AsyncIterable<CommitInfo> {
    throw new UnimplementedError(options.repo)
  }

  /** Open commits only: branches that point at it move to its parent, or go. */
  async delete(repo: string, commit: string): Promise<void> {
    throw new UnimplementedError(repo + commit)
  }
}
