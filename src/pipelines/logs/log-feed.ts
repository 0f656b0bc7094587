import type { JobId, PipelineName } from '../../base/names.ts'
import type { KeptLine } from '../datum-logs.ts'
import type { DatumKey, DatumMember } from '../datums.ts'

/** A run of a datum that has no row yet. */
export interface LoggedRun {
  readonly job: JobId
  readonly pipeline: PipelineName
  readonly pipelineVersion: number
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  readonly worker: string
}

/** A line of a run that goes on. */
export interface FeedLine {
  readonly run: LoggedRun
  readonly line: KeptLine
  /** A note that lines before it were left out, for they came faster than they were read. */
  readonly isGap?: true
}

/** What is kept for followers that read slowly: for each, and for all together. */
const feedLineCountMax = 20_000
const feedBytesMax = 4 * 1024 * 1024
const allFeedsBytesMax = 64 * 1024 * 1024
const lineOverheadBytes = 64

/** Lines as they come, for one follower. */
export class LogFeed implements Disposable {
  readonly #wanted: (run: LoggedRun) => boolean
  /** Shared by all feeds. */
  readonly #all: { bytes: number }
  readonly #onEnd: () => void
  readonly #before: { readonly run: LoggedRun; readonly lines: readonly KeptLine[] }[] = []
  /** Undefined when nobody asks any more. */
  #covered: Set<string> | undefined = new Set()
  #waiting: FeedLine[] = []
  #waitingBytes = 0
  #droppedCount = 0
  #wake = Promise.withResolvers<void>()
  #isClosed = false

  constructor(wanted: (run: LoggedRun) => boolean, all: { bytes: number }, onEnd: () => void) {
    this.#wanted = wanted
    this.#all = all
    this.#onEnd = onEnd
  }

  /** The lines that each run had when the feed began. */
  get before(): readonly { readonly run: LoggedRun; readonly lines: readonly KeptLine[] }[] {
    return this.#before
  }

  /** Takes a run that goes on when the feed begins; false when it is not wanted. */
  began(run: LoggedRun, lines: readonly KeptLine[]): boolean {
    const isWanted = this.opened(run)
    if (isWanted) this.#before.push({ run, lines })
    return isWanted
  }

  /** Takes a run that begins; false when it is not wanted. */
  opened(run: LoggedRun): boolean {
    const isWanted = this.#wanted(run)
    if (isWanted) this.#covered?.add(`${run.job} ${run.datum}`)
    return isWanted
  }

  /** Whether the lines of a run are in `before` or come by the feed, so that its row is not needed. */
  covers(job: JobId, datum: DatumKey): boolean {
    return this.#covered?.has(`${job} ${datum}`) === true
  }

  /** When rows have been read, what the feed covers is of no interest any more. */
  forgetCovered(): void {
    this.#covered = undefined
    this.#before.length = 0
  }

  push(item: FeedLine): void {
    this.#waiting.push(item)
    this.#count(sizeOf(item))
    const isTooMuch = this.#waitingBytes > feedBytesMax || this.#all.bytes > allFeedsBytesMax
    if (isTooMuch || this.#waiting.length > feedLineCountMax) this.#drop()
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
      this.#empty()
      const [first] = lines
      if (droppedCount > 0 && first !== undefined) yield gapBefore(first, droppedCount)
      yield* lines
      if (this.#waiting.length > 0) continue
      if (this.#isClosed) return
      await this.#wake.promise
      this.#wake = Promise.withResolvers<void>()
    }
  }

  /** The older half, so that dropping is seldom; the last line stays. */
  #drop(): void {
    const count = Math.floor(this.#waiting.length / 2)
    for (const item of this.#waiting.splice(0, count)) this.#count(-sizeOf(item))
    this.#droppedCount += count
  }

  #empty(): void {
    this.#count(-this.#waitingBytes)
    this.#waiting = []
    this.#droppedCount = 0
  }

  #count(bytes: number): void {
    this.#waitingBytes += bytes
    this.#all.bytes += bytes
  }

  [Symbol.dispose](): void {
    this.close()
    this.#empty()
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
