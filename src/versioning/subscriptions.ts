import { UnimplementedError } from '../base/errors.ts'
import type { CommitInfo } from './commit-records.ts'
import type { VersioningPorts } from './ports.ts'

/** Waits for commits to come. */
export class Subscriptions {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /**
   * One finished commit for each target repo, as they come: the first whose provenance contains
   * all `commits`. Targets: `toRepos`, or every repo made from all of the commits' repos. Ends
   * after the last.
   *
   * @throws {InvalidArgumentError} without commits.
   * @throws {FlushFailedError} as soon as a target can no longer get its commit.
   */
  flush(options: {
    /** Each by branch or id. */
    readonly commits: readonly { readonly repo: string; readonly commit: string }[]
    readonly toRepos?: readonly string[] | undefined
    readonly signal: AbortSignal
  }): AsyncIterable<CommitInfo> {
    throw new UnimplementedError(String(this.#ports) + String(options))
  }

  /**
   * The finished commits of a branch, oldest first, without `from` and what came before it; then
   * each head as it finishes, until `signal` aborts. A repo or branch that does not exist yet is
   * waited for.
   */
  subscribe(options: {
    readonly repo: string
    readonly branch: string
    /** A branch (as it is at the start) or an id. */
    readonly from?: string | undefined
    readonly signal: AbortSignal
  }): AsyncIterable<CommitInfo> {
    throw new UnimplementedError(String(options))
  }
}
