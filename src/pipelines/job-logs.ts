import { InvalidArgumentError } from '../base/errors.ts'
import type { JobId, PipelineName } from '../base/names.ts'
import type { Database } from '../database/database.ts'
import type { ProllyMaps } from '../storage/prolly-map.ts'
import type { KeptLine } from './datum-logs.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import { findJob, jobTopic, mayConcern } from './job-records.ts'
import { readLog, type RunOrder } from './logs/log-rows.ts'
import { EndedRuns } from './logs/ended-runs.ts'
import {
  findLogScope,
  isInScope,
  isWanted,
  isWantedLine,
  type LogFilter,
  type LogScope,
} from './logs/log-scope.ts'
import type { LogFeed } from './logs/log-feed.ts'
import type { LoggedRun, RunningLogs } from './logs/running-logs.ts'
import { hasEnded } from './states.ts'

export type { LogFilter } from './logs/log-scope.ts'

/** One line that user code wrote, or a note of ours, and where. */
export interface JobLogLine {
  readonly pipeline: PipelineName
  readonly job: JobId
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  /** Who ran it; empty where that was not noted. */
  readonly worker: string
  readonly line: KeptLine
}

export interface LogOptions {
  /** Only so many lines of those that there are, the last ones. */
  readonly tail?: number | undefined
  /** Go on with lines as they come: until the job has ended or, without a job, until `signal`. */
  readonly follows?: boolean | undefined
  readonly signal: AbortSignal
}

/** The most that can be asked for as the last ones: lines, and bytes of them. */
export const tailCountMax = 100_000
const tailBytesMax = 32 * 1024 * 1024

/** What user code wrote: kept with each datum's result or failure, so it is there as long as that. */
export class JobLogs {
  readonly #database: Database
  readonly #running: RunningLogs
  readonly #ended: EndedRuns

  constructor(ports: {
    readonly database: Database
    readonly maps: ProllyMaps
    readonly running: RunningLogs
  }) {
    this.#database = ports.database
    this.#running = ports.running
    this.#ended = new EndedRuns(ports)
  }

  /**
   * Lines of datums that jobs have run or are running: job by job, oldest first, datum by datum in
   * the order in which they ended, those that still run last. Then, of a follower, what comes.
   *
   * @throws {InvalidArgumentError} when neither job, pipeline nor datum is given.
   * @throws {NotFoundError}
   */
  async *lines(filter: LogFilter, options: LogOptions): AsyncGenerator<JobLogLine> {
    requireTail(filter, options)
    const scope = await this.#database.read((tx) => findLogScope(tx, filter, this.#running.all()))
    using feed = this.#running.follow((run) => isInScope(scope, run) && isWanted(filter, run))
    const { tail, follows = false, signal } = options
    if (tail === undefined) yield* this.#all(scope, feed, signal)
    else yield* await this.#last(scope, feed, { count: tail, signal })
    if (follows) yield* this.#coming(scope, feed, signal)
  }

  async *#all(scope: LogScope, feed: LogFeed, signal: AbortSignal): AsyncGenerator<JobLogLine> {
    for await (const lines of this.#endedLines(scope, feed, { order: 'oldest first', signal })) {
      yield* lines
    }
    yield* runningLines(scope, feed)
  }

  /** From the newest on, until there are enough. */
  async #last(
    scope: LogScope,
    feed: LogFeed,
    { count, signal }: { readonly count: number; readonly signal: AbortSignal },
  ): Promise<readonly JobLogLine[]> {
    const newestFirst: JobLogLine[] = []
    let bytes = 0
    const isFull = (): boolean => newestFirst.length >= count || bytes >= tailBytesMax
    const take = (lines: readonly JobLogLine[]): void => {
      for (const line of lines.toReversed()) {
        if (isFull()) return
        newestFirst.push(line)
        bytes += line.line.text.length
      }
    }
    take([...runningLines(scope, feed)])
    if (!isFull()) {
      for await (const lines of this.#endedLines(scope, feed, { order: 'newest first', signal })) {
        take(lines)
        if (isFull()) break
      }
    }
    return newestFirst.toReversed()
  }

  /** The lines of each run that has a row and that the feed does not tell of. */
  async *#endedLines(
    scope: LogScope,
    feed: LogFeed,
    { order, signal }: { readonly order: RunOrder; readonly signal: AbortSignal },
  ): AsyncGenerator<readonly JobLogLine[]> {
    const { filter } = scope
    for await (const run of this.#ended.in(scope, order)) {
      // Perhaps nothing of all that is wanted, so that nobody else would notice.
      if (signal.aborted) return
      if (feed.covers(run.job, run.datum) || !isWanted(filter, run)) continue
      const log = await this.#database.read((tx) => readLog(tx, run))
      if (log === undefined) continue
      const { worker } = log
      if ((filter.worker ?? worker) !== worker) continue
      const { pipeline, job, datum, members } = run
      const common = { pipeline, job, datum, members, worker }
      const lines = log.lines.filter((line) => isWantedLine(filter, line))
      yield lines.map((line) => ({ ...common, line }))
    }
  }

  async *#coming(scope: LogScope, feed: LogFeed, signal: AbortSignal): AsyncGenerator<JobLogLine> {
    feed.forgetCovered()
    const over = new AbortController()
    const watching = this.#closeAtEnd(scope, feed, AbortSignal.any([signal, over.signal]))
    // Awaited below.
    watching.catch(() => undefined)
    try {
      for await (const item of feed.lines()) {
        if (signal.aborted) return
        const { run, line } = item
        if ((scope.filter.worker ?? run.worker) !== run.worker) continue
        if (item.isGap === true || isWantedLine(scope.filter, line)) yield lineOf(run, line)
      }
    } finally {
      over.abort()
      await watching
    }
  }

  /** Ends the feed when its job has ended, or is gone, or `signal` aborts. */
  async #closeAtEnd({ job }: LogScope, feed: LogFeed, signal: AbortSignal): Promise<void> {
    try {
      const events = this.#database.watch([jobTopic], { signal })
      if (job !== undefined && (await this.#isOver(job.id))) return
      for await (const { subject } of events) {
        if (job !== undefined && mayConcern(subject, job.id) && (await this.#isOver(job.id))) return
      }
    } finally {
      feed.close()
    }
  }

  async #isOver(id: JobId): Promise<boolean> {
    const job = await this.#database.read((tx) => findJob(tx, id))
    return job === undefined || hasEnded(job.state)
  }
}

function requireTail({ withSkipped = false }: LogFilter, { tail }: LogOptions): void {
  if (tail === undefined) return
  if (tail > tailCountMax) {
    throw new InvalidArgumentError(`at most the last ${tailCountMax} lines can be asked for`)
  }
  if (withSkipped) {
    throw new InvalidArgumentError('the last lines cannot be told of skipped datums: leave one out')
  }
}

function* runningLines({ filter }: LogScope, feed: LogFeed): Generator<JobLogLine> {
  for (const { run, lines } of feed.before) {
    if ((filter.worker ?? run.worker) !== run.worker) continue
    for (const line of lines) if (isWantedLine(filter, line)) yield lineOf(run, line)
  }
}

function lineOf(run: LoggedRun, line: KeptLine): JobLogLine {
  const { pipeline, job, datum, members, worker } = run
  return { pipeline, job, datum, members, worker, line }
}
