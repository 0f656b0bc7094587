import type { Instant } from '../base/clock.ts'
import type { JobId } from '../base/names.ts'
import { datumKey, type DatumMember, datumText, type Lineage } from './datums.ts'
import type { ProcessStats } from './process-stats.ts'

/** A worker that has a datum. */
export interface WorkerActivity {
  readonly id: string
  readonly job: JobId
  readonly members: readonly DatumMember[]
  /** When it took the datum. */
  readonly startedAt: Instant
  /** When user code began to run, in the try that goes on or the one before; unset when it has not yet. */
  begunAt?: Instant
  /** What the datums cost that it has processed for this job. */
  readonly stats: ProcessStats
  /** The datums that wait in it for their turn to run user code: 1, or 0 when it runs. */
  queueSize: 0 | 1
  /** How often this datum has been tried, with the try that goes on or comes next. */
  attempt: number
  /** Why the try before failed, in words for people; empty in the first. */
  lastReason: string
  /** What it waits for before it can begin, in words for people; unset when it is for nothing, or a moment. */
  opening?: { readonly what: string; readonly since: Instant } | undefined
  /** Ends the try that goes on, as one that failed, or the pause before the next. */
  restart(): void
}

/** Which workers have datums right now, by job. */
export class ActiveWorkers {
  readonly #jobs = new Map<JobId, Map<string, WorkerActivity>>()

  /** Dispose of what comes when the datum has ended. */
  begin(activity: WorkerActivity): Disposable {
    const { job, id } = activity
    const workers = this.#jobs.get(job) ?? new Map<string, WorkerActivity>()
    this.#jobs.set(job, workers.set(id, activity))
    return {
      [Symbol.dispose]: () => {
        workers.delete(id)
        if (workers.size === 0) this.#jobs.delete(job)
      },
    }
  }

  /** Those that run first, then those that wait for their turn; by id. */
  of(job: JobId): readonly WorkerActivity[] {
    const workers = [...(this.#jobs.get(job)?.values() ?? [])]
    return workers.toSorted(
      (left, right) => left.queueSize - right.queueSize || left.id.localeCompare(right.id, 'en'),
    )
  }
}

/** The datums of a job that run, to be put behind what ends it; empty when there are none. */
export function whatRuns(
  active: Pick<ActiveWorkers, 'of'>,
  job: Lineage & { readonly id: JobId },
): string {
  const running = active.of(job.id).filter(({ queueSize }) => queueSize === 0)
  const [first] = running
  // One without members is the run of a service or a spout.
  if (first === undefined || first.members.length === 0) return ''
  const others = running.length === 1 ? 'was' : `and ${running.length - 1} more were`
  return `; datum ${datumText(datumKey(job, first.members), first.members)} ${others} running`
}
