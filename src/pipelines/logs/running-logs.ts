import type { Instant } from '../../base/clock.ts'
import type { JobId, PipelineName } from '../../base/names.ts'
import { DatumLog, type KeptLine } from '../datum-logs.ts'
import type { DatumRecord } from '../datums/datum-sets.ts'
import type { DatumKey, DatumMember } from '../datums.ts'
import type { JobRecord } from '../job-records.ts'
import { LogFeed, type LoggedRun } from './log-feed.ts'

export type { LoggedRun } from './log-feed.ts'

/** The log of one run, for whoever writes to it. */
export class RunLog implements LoggedRun {
  readonly job: JobId
  readonly pipeline: PipelineName
  readonly pipelineVersion: number
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  readonly worker: string
  readonly #log = new DatumLog()
  readonly #feeds = new Set<LogFeed>()

  constructor(job: JobRecord, datum: DatumRecord, worker: string) {
    this.job = job.id
    this.pipeline = job.pipeline
    this.pipelineVersion = job.pipelineVersion
    this.datum = datum.key
    this.members = datum.members
    this.worker = worker
  }

  add(line: KeptLine): void {
    this.#log.add(line)
    for (const feed of this.#feeds) feed.push({ run: this, line })
  }

  leaveOut(lineCount: number): void {
    this.#log.leaveOut(lineCount)
  }

  note(text: string, at: Instant): void {
    this.add({ at, stream: 'note', text })
  }

  lines(): readonly KeptLine[] {
    return this.#log.lines()
  }

  attach(feed: LogFeed): void {
    this.#feeds.add(feed)
  }

  detach(feed: LogFeed): void {
    this.#feeds.delete(feed)
  }
}

/** The logs of runs that have no row yet: what is recorded is read from there. */
export class RunningLogs {
  readonly #jobs = new Map<JobId, Map<DatumKey, RunLog>>()
  readonly #feeds = new Set<LogFeed>()
  /** What waits in all feeds. */
  readonly #waiting = { bytes: 0 }

  open(job: JobRecord, datum: DatumRecord, worker: string): RunLog {
    const log = new RunLog(job, datum, worker)
    const logs = this.#jobs.get(job.id) ?? new Map<DatumKey, RunLog>()
    this.#jobs.set(job.id, logs.set(datum.key, log))
    for (const feed of this.#feeds) if (feed.opened(log)) log.attach(feed)
    return log
  }

  /** When its row is there, or nothing will come of it. */
  close(job: JobId, datum: DatumKey): void {
    const logs = this.#jobs.get(job)
    logs?.delete(datum)
    if (logs?.size === 0) this.#jobs.delete(job)
  }

  all(): readonly RunLog[] {
    return [...this.#jobs.values()].flatMap((logs) => [...logs.values()])
  }

  /**
   * What runs that `wanted` tells of have logged so far, and a feed of what they log from now on.
   * The caller disposes of the feed.
   */
  follow(wanted: (run: LoggedRun) => boolean): LogFeed {
    const feed = new LogFeed(wanted, this.#waiting, () => {
      this.#feeds.delete(feed)
      for (const run of this.all()) run.detach(feed)
    })
    this.#feeds.add(feed)
    for (const run of this.all()) if (feed.began(run, run.lines())) run.attach(feed)
    return feed
  }
}
