import type { Instant } from '../base/clock.ts'
import type { JobId, PipelineName } from '../base/names.ts'
import { DatumLog, type KeptLine } from './datum-logs.ts'
import type { DatumRecord } from './datum-sets.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import type { JobRecord } from './job-records.ts'

/** A run of a datum that has no row yet. */
export interface LoggedRun {
  readonly job: JobId
  readonly pipeline: PipelineName
  readonly pipelineVersion: number
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  readonly worker: string
}

/** The log of a run that goes on. */
export interface RunLogEntry extends LoggedRun {
  readonly log: Pick<DatumLog, 'lines'>
}

/** A line of a run that goes on. */
export interface FeedLine {
  readonly run: LoggedRun
  readonly line: KeptLine
  /** A note that lines before it were left out, for they came faster than they were read. */
  readonly isGap?: true
}

/** A follower that reads slowly has so many lines, and bytes of them, kept for it. */
const feedLineCountMax = 20_000
const feedBytesMax = 8 * 1024 * 1024
const lineOverheadBytes = 64

/** The log of one run, for whoever writes to it. */
export class RunLog implements RunLogEntry {
  readonly job: JobId
  readonly pipeline: PipelineName
  readonly pipelineVersion: number
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  readonly worker: string
  readonly log: DatumLog = new DatumLog()
  readonly #feeds: ReadonlySet<LogFeed>

  constructor(job: JobRecord, datum: DatumRecord, worker: string, feeds: ReadonlySet<LogFeed>) {
    this.job = job.id
    this.pipeline = job.pipeline
    this.pipelineVersion = job.pipelineVersion
    this.datum = datum.key
    this.members = datum.members
    this.worker = worker
    this.#feeds = feeds
  }

  add(line: KeptLine): void {
    this.log.add(line)
    for (const feed of this.#feeds) feed.push({ run: this, line })
  }

  leaveOut(lineCount: number): void {
    this.log.leaveOut(lineCount)
  }

  note(text: string, at: Instant): void {
    this.add({ at, stream: 'note', text })
  }
}

/** The logs of runs that have no row yet: what is recorded is read from there. */
export class RunningLogs {
  readonly #jobs = new Map<JobId, Map<DatumKey, RunLog>>()
  readonly #feeds = new Set<LogFeed>()

  open(job: JobRecord, datum: DatumRecord, worker: string): RunLog {
    const log = new RunLog(job, datum, worker, this.#feeds)
    const logs = this.#jobs.get(job.id) ?? new Map<DatumKey, RunLog>()
    this.#jobs.set(job.id, logs.set(datum.key, log))
    for (const feed of this.#feeds) feed.opened(log)
    return log
  }

  /** When its row is there, or nothing will come of it. */
  close(job: JobId, datum: DatumKey): void {
    const logs = this.#jobs.get(job)
    logs?.delete(datum)
    if (logs?.size === 0) this.#jobs.delete(job)
  }

  all(): readonly RunLogEntry[] {
    return [...this.#jobs.values()].flatMap((logs) => [...logs.values()])
  }

  /**
   * What runs that `wanted` tells of have logged so far, and a feed of what they log from now on.
   * The caller disposes of the feed.
   */
  follow(wanted: (run: LoggedRun) => boolean): LogFeed {
    const runs = this.all().filter(wanted)
    const feed = new LogFeed(runs, wanted, () => this.#feeds.delete(feed))
    this.#feeds.add(feed)
    return feed
  }
}

/** Lines as they come, for one follower. */
export class LogFeed implements Disposable {
  /** The lines that each run had when the feed began. */
  readonly before: readonly { readonly run: LoggedRun; readonly lines: readonly KeptLine[] }[]
  readonly #wanted: (run: LoggedRun) => boolean
  readonly #onEnd: () => void
  /** Runs of which all lines came, or will come, through this feed or are in `before`. */
  readonly #covered = new Set<string>()
  #waiting: FeedLine[] = []
  #waitingBytes = 0
  #droppedCount = 0
  #wake = Promise.withResolvers<void>()
  #isClosed = false

  constructor(
    runs: readonly RunLogEntry[],
    wanted: (run: LoggedRun) => boolean,
    onEnd: () => void,
  ) {
    this.before = runs.map((run) => ({ run, lines: run.log.lines() }))
    this.#wanted = wanted
    this.#onEnd = onEnd
    for (const run of runs) this.opened(run)
  }

  opened(run: LoggedRun): void {
    if (this.#wanted(run)) this.#covered.add(`${run.job} ${run.datum}`)
  }

  /** Whether the lines of a run come by the feed, so that its row need not be read. */
  covers(job: JobId, datum: DatumKey): boolean {
    return this.#covered.has(`${job} ${datum}`)
  }

  /** Forgets which runs it covers, when no more rows are read. */
  forgetCovered(): void {
    this.#covered.clear()
  }

  push(item: FeedLine): void {
    if (!this.#wanted(item.run)) return
    this.#waiting.push(item)
    this.#waitingBytes += sizeOf(item)
    if (this.#waiting.length > feedLineCountMax || this.#waitingBytes > feedBytesMax) this.#drop()
    this.#wake.resolve()
  }

  /** Ends `lines` when what waits has been read. */
  close(): void {
    this.#isClosed = true
    this.#wake.resolve()
  }

  /** Lines as they come. Ends after `close`, when those that wait have been read. */
  async *lines(): AsyncGenerator<FeedLine> {
    for (;;) {
      const [lines, droppedCount] = [this.#waiting, this.#droppedCount]
      this.#waiting = []
      this.#waitingBytes = 0
      this.#droppedCount = 0
      const [first] = lines
      if (droppedCount > 0 && first !== undefined) yield gapBefore(first, droppedCount)
      yield* lines
      if (this.#waiting.length > 0) continue
      if (this.#isClosed) return
      await this.#wake.promise
      this.#wake = Promise.withResolvers<void>()
    }
  }

  /** The older half, so that dropping is seldom. */
  #drop(): void {
    const count = Math.ceil(this.#waiting.length / 2)
    for (const item of this.#waiting.splice(0, count)) this.#waitingBytes -= sizeOf(item)
    this.#droppedCount += count
  }

  [Symbol.dispose](): void {
    this.close()
    this.#onEnd()
  }
}

function sizeOf({ line: { text, bytes } }: FeedLine): number {
  return text.length + (bytes?.length ?? 0) + lineOverheadBytes
}

function gapBefore({ run, line }: FeedLine, count: number): FeedLine {
  const text = `(${count} lines were left out here, for they came faster than they were read: get-logs without --follow has them)`
  return { run, line: { at: line.at, stream: 'note', text }, isGap: true }
}
