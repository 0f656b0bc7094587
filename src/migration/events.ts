import type { Damage } from '../legacy/damage.ts'
import type { Instant } from '../base/clock.ts'
import type { OldPlace } from '../legacy/old-place.ts'

/** What somebody who moves an old cluster here decides. */
export interface MigrationRequest {
  readonly place: OldPlace
  /** What its version is said to be, such as `1.4.8` or `1.5.*`; empty: any. */
  readonly from: string
  /** Looks at everything, says what would come, and changes nothing. */
  readonly isDryRun: boolean
  /** Goes on though the cluster is not at rest, or access control was active there. */
  readonly isForced: boolean
  /** Leaves out what is damaged, instead of changing nothing. */
  readonly skipsDamaged: boolean
  /** What becomes of commits that are open there. */
  readonly openCommits: OpenCommitChoice
  /** Of jobs that have not ended there: they run here, or are said to have been killed. */
  readonly unfinishedJobs: 'restart' | 'kill'
  /** Every pipeline is paused here, also those that ran. */
  readonly keepsPaused: boolean
}

export type OpenCommitChoice = 'finish' | 'keep' | 'drop'

/** How much there is, or has come. */
export interface MigrationCounts {
  repos: number
  commits: number
  openCommits: number
  branches: number
  /** Files of all commits: one that many commits have counts in each. */
  files: number
  /** Of these, the sizes added up. */
  bytes: number
  /** Distinct contents, as the old cluster stores them. */
  objects: number
  objectBytes: number
  pipelines: number
  jobs: number
  /** Results of datums that need not be processed again. */
  results: number
  /** Users, tokens and access lists. */
  access: number
  damaged: number
}

export function noMigrationCounts(): MigrationCounts {
  return {
    repos: 0,
    commits: 0,
    openCommits: 0,
    branches: 0,
    files: 0,
    bytes: 0,
    objects: 0,
    objectBytes: 0,
    pipelines: 0,
    jobs: 0,
    results: 0,
    access: 0,
    damaged: 0,
  }
}

/** A commit that has come, for the report. */
export interface MigratedCommit {
  readonly repo: string
  readonly id: string
  /** The hash of the tree: of all paths and contents. */
  readonly root: string
  /** The name of its tree in the old cluster: the SHA-512 of that; empty for one that was open. */
  readonly oldTree: string
  readonly sizeBytes: number
  readonly fileCount: number
}

/** Something to tell people. */
export type Finding =
  | { readonly kind: 'damage'; readonly damage: Damage }
  /** A sentence, of something that will be another thing here. */
  | { readonly kind: 'notice'; readonly text: string }

export type MigrationEvent =
  | Finding
  | {
      readonly kind: 'progress'
      /** What it does, in a few words. */
      readonly stage: string
      /** How many of how many; 0 of 0 where that is not known. */
      readonly done: number
      readonly total: number
      readonly counts: Readonly<MigrationCounts>
    }
  | { readonly kind: 'commit'; readonly commit: MigratedCommit }
  | {
      readonly kind: 'end'
      readonly source: string
      readonly isDryRun: boolean
      readonly counts: Readonly<MigrationCounts>
      readonly tookMs: number
      /** It had been migrated then, and is only told again. */
      readonly completedAt?: Instant
      /** Of a dry run: what a migration takes at least, and what that is made of. */
      readonly estimate?: { readonly leastMs: number; readonly reason: string }
    }
