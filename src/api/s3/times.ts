import type { Instant } from '../../base/clock.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'

const microsPerMilli = 1000

/** As S3 writes times in XML: to the millisecond. */
export function iso(at: Instant): string {
  return new Date(at / microsPerMilli).toISOString()
}

/** When a commit became what it is: as near as there is to when its files changed. */
export function changedAt({ state, startedAt }: CommitInfo): Instant {
  return state.kind === 'finished' ? state.finishedAt : startedAt
}

export function changedAtMs(commit: CommitInfo): number {
  return changedAt(commit) / microsPerMilli
}
