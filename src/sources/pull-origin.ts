import type { Instant } from '../base/clock.ts'
import type { ChunkOrigin } from '../storage/offered-contents.ts'

/** A repo elsewhere. */
export interface PeerRepo {
  readonly name: string
  readonly createdAt: Instant
  readonly description: string
  /** Every repo that it is made from, near and far. */
  readonly provenance: readonly string[]
}

export interface PeerCommitName {
  readonly repo: string
  readonly id: string
}

/** A finished commit elsewhere. */
export interface PeerCommitFacts extends PeerCommitName {
  readonly parent: string | undefined
  /** Commits of its repo whose changes a merge brought in, besides those of `parent`. */
  readonly mergeParents: readonly string[]
  /** Every commit that it is made from, near and far. */
  readonly provenance: readonly PeerCommitName[]
  readonly startedAt: Instant
  readonly finishedAt: Instant
  /** The root of its tree. */
  readonly root: string
  readonly message: string
}

/** A commit tag elsewhere. */
export interface PeerTag {
  readonly name: string
  /** The id of a commit. */
  readonly commit: string
  readonly taggedAt: Instant
}

/** Where repos are pulled from. What it says is not to be trusted. */
export interface PullOrigin {
  /** For people. */
  readonly address: string
  repos(signal: AbortSignal): Promise<readonly PeerRepo[]>
  /** @throws {NotFoundError} */
  repo(name: string, signal: AbortSignal): Promise<PeerRepo>
  /** The heads of all branches, by name. */
  branches(repo: string, signal: AbortSignal): Promise<ReadonlyMap<string, string>>
  tags(repo: string, signal: AbortSignal): AsyncIterable<PeerTag>
  /** All finished commits of the repo, the latest written first. Older releases may not tell of them. */
  commits(repo: string, signal: AbortSignal): AsyncIterable<PeerCommitName>
  /** The commit and those before it, the newest first, but for one that is open. */
  line(repo: string, head: string, signal: AbortSignal): AsyncIterable<PeerCommitFacts>
  contentsOf(commit: PeerCommitName): ChunkOrigin
}
