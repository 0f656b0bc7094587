import { assert } from '../../base/errors.ts'
import type { Pauses } from '../../base/retries.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { Lease } from '../../storage/leases.ts'
import {
  type DatumFailure,
  failuresAmong,
  findOutputs,
  findResults,
  insertFailure,
  insertResult,
  type ReusableResult,
} from '../datum-results.ts'
import type { DatumKey } from '../datums.ts'
import { setCounts } from '../job-counts.ts'
import { findJob, jobTopic, noteReason, type JobRecord } from '../job-records.ts'
import { addStats, noStats, type ProcessStats } from '../process-stats.ts'
import type { DatumEnd } from './datum-run.ts'
import { errorText, isKnownToPass } from './run-errors.ts'
import { hasEnded } from '../states.ts'
import type { JobPause, Patience, RunPorts } from './run-ports.ts'

/** Results wait at most this long to share a pack and a transaction with others. */
const recordAfterMs = 250
/** This many results, or so much of logs, are recorded without waiting. */
const recordAtCount = 256
const recordAtLogBytes = 8 * 1024 * 1024
/** While a disk is full, or a store away, what took hours to make is kept for an hour. */
const recordPauses: Pauses = { pauseMs: 500, pauseMsMax: 30_000 }
const recordTriesMax = 120

/** How a job's datums stand, as far as this run knows. */
export interface Tally {
  readonly processed: number
  readonly skipped: number
  readonly failed: number
  readonly recovered: number
  readonly stats: ProcessStats
}

const noTally: Tally = { processed: 0, skipped: 0, failed: 0, recovered: 0, stats: noStats }

function addTally(left: Tally, right: Partial<Tally>): Tally {
  return {
    processed: left.processed + (right.processed ?? 0),
    skipped: left.skipped + (right.skipped ?? 0),
    failed: left.failed + (right.failed ?? 0),
    recovered: left.recovered + (right.recovered ?? 0),
    stats: addStats(left.stats, right.stats ?? noStats),
  }
}

/**
 * Records datum results of one job, several at a time: their chunks share a flush, their rows a
 * transaction, in which they are counted. What cannot be recorded for now is tried again; what has not
 * been recorded when the server dies is processed again.
 */
export class ResultRecorder implements Disposable {
  /** Of what was there before this run came to it, and of what is recorded. */
  #known = noTally
  /** As much of it as the job's counters do not say yet. */
  #uncounted = noTally
  readonly #ports: RunPorts
  readonly #job: JobRecord
  /** Of the run. */
  readonly #signal: AbortSignal
  readonly #pause: JobPause
  /** Aborted, with the cause, when trying again does not help. */
  readonly #hopeless = new AbortController()
  readonly #waiting = new Map<DatumKey, DatumEnd>()
  /** Of datums that were cut off: they come to nothing unless the job has ended. */
  readonly #stopped: DatumFailure[] = []
  /** Of what waits: keep what is not recorded yet. */
  readonly #leases = new Map<DatumKey, Lease>()
  #waitingLogBytes = 0
  #recording: Promise<void> = Promise.resolve()
  #lastMs: number
  /** While something waits, and no other datum has ended since: that may take hours. */
  #timer: AbortController | undefined

  /** Once `signal` aborts, nothing is tried again. */
  constructor(ports: RunPorts, job: JobRecord, { signal, pause }: Patience) {
    this.#ports = ports
    this.#job = job
    this.#signal = signal
    this.#pause = pause
    this.#lastMs = ports.clock.monotonicMs()
  }

  /** Aborts when results cannot be recorded, for the reason that it has then. */
  get hopeless(): AbortSignal {
    return this.#hopeless.signal
  }

  /**
   * Takes a datum's end, each datum key once; resolves at once, or when earlier ones have been
   * recorded. Throws what recording them met. `lease` keeps what the datum has stored, if it has; it is the
   * recorder's from now on.
   */
  async add(end: DatumEnd, lease: Lease | undefined): Promise<void> {
    const { datum, log } = end.kind === 'result' ? end.result : end.failure
    assert(!this.#waiting.has(datum), `datum ${datum} ends once`)
    this.#waiting.set(datum, end)
    if (lease !== undefined) this.#leases.set(datum, lease)
    this.#waitingLogBytes += log.length
    if (!this.#isDue()) return this.#recordLater()
    const earlier = this.#recording
    this.#recordNow()
    await earlier
  }

  /** Takes what a datum had printed when its run was cut off. */
  stopped(run: DatumFailure): void {
    this.#stopped.push(run)
  }

  #recordNow(): void {
    this.#stopTimer()
    this.#lastMs = this.#ports.clock.monotonicMs()
    this.#recording = this.#recording.then(() => this.#recordPatiently())
    this.#recording.catch((error: unknown) => this.#hopeless.abort(error))
  }

  #recordLater(): void {
    if (this.#timer !== undefined) return
    const timer = new AbortController()
    this.#timer = timer
    void this.#ports.clock.sleep(recordAfterMs, timer.signal).then(
      () => {
        if (this.#timer === timer) this.#recordNow()
      },
      () => {},
    )
  }

  #stopTimer(): void {
    this.#timer?.abort()
    this.#timer = undefined
  }

  #isDue(): boolean {
    if (this.#waiting.size >= recordAtCount) return true
    if (this.#waitingLogBytes >= recordAtLogBytes) return true
    return this.#ports.clock.monotonicMs() - this.#lastMs >= recordAfterMs
  }

  /** With what waits to be recorded. */
  get tally(): Tally {
    return [...this.#waiting.values()].map(tallyOf).reduce(addTally, this.#known)
  }

  /** Counts a result that was there already: of this job, before a restart, or of another. */
  count(result: ReusableResult): void {
    if (result.job !== this.#job.id) return this.skip(1)
    const found = { processed: 1, stats: result.stats }
    this.#known = addTally(this.#known, found)
    // Those of the runs before this one are counted, if it goes on with their datums.
    if (this.#job.datumSet === undefined) this.#uncounted = addTally(this.#uncounted, found)
  }

  /** Counts datums that need not be processed here. */
  skip(count: number): void {
    this.#known = addTally(this.#known, { skipped: count })
    this.#uncounted = addTally(this.#uncounted, { skipped: count })
  }

  /** Results by datum key, recorded or not. What is recorded stands, whoever made it. */
  async find(
    tx: ReadTransaction,
    datums: readonly DatumKey[],
  ): Promise<ReadonlyMap<DatumKey, ReusableResult>> {
    const found = new Map<DatumKey, ReusableResult>()
    for (const datum of datums) {
      const end = this.#waiting.get(datum)
      if (end?.kind !== 'result') continue
      const { output, stats } = end.result
      found.set(datum, { job: this.#job.id, output, stats })
    }
    for (const [datum, result] of await findResults(tx, datums)) found.set(datum, result)
    return found
  }

  /** As `find`, what they wrote. */
  async findOutputs(
    tx: ReadTransaction,
    datums: readonly DatumKey[],
  ): Promise<ReadonlyMap<DatumKey, DirectoryEntry>> {
    const found = new Map<DatumKey, DirectoryEntry>()
    for (const datum of datums) {
      const end = this.#waiting.get(datum)
      if (end?.kind === 'result') found.set(datum, end.result.output)
    }
    for (const [datum, output] of await findOutputs(tx, datums)) found.set(datum, output)
    return found
  }

  /** Those of `datums` that this job has given up. */
  async findFailed(
    tx: ReadTransaction,
    datums: readonly DatumKey[],
  ): Promise<ReadonlySet<DatumKey>> {
    const waiting = datums.filter((datum) => this.#waiting.get(datum)?.kind === 'failure')
    return new Set([...waiting, ...(await failuresAmong(tx, this.#job.id, datums)).keys()])
  }

  /** Waits for what is being recorded; `writeRest` then writes what is left, with the job's end. */
  async settle(): Promise<void> {
    this.#stopTimer()
    await this.#recording
  }

  /** Records what is left, of a job that does not end yet. */
  async recordRest(): Promise<void> {
    this.#stopTimer()
    await this.#recording
    await this.#recordPatiently()
  }

  /** As `recordRest`, as far as it can be done, when an error is on its way that ends the run. */
  async keepRest(): Promise<void> {
    await this.recordRest().catch(() => undefined)
  }

  /** With `datumCount`, those of the job: when each has been counted, what this run counted stands. */
  async writeRest(tx: Transaction, datumCount: number): Promise<void> {
    const written = await this.#write(tx, [...this.#waiting.values()], this.#uncounted)
    if (written === undefined) return
    const tally = addTally(this.#known, written)
    const { processed, skipped, failed, recovered } = tally
    if (processed + skipped + failed + recovered !== datumCount) return
    await setCounts(tx, this.#job.id, tally)
  }

  /** Says in the job why it is held up. */
  async #recordPatiently(): Promise<void> {
    for (let count = 1; ; count += 1) {
      try {
        await this.#record()
        if (count > 1) await this.#note('')
        return
      } catch (error) {
        if (count >= recordTriesMax || this.#signal.aborted || !isKnownToPass(error)) throw error
        this.#ports.log.error(`what job ${this.#job.id} has done could not be recorded`, error)
        await this.#note(`${errorText(error)} (retrying)`)
        await this.#pause(recordPauses, count).catch(() => undefined)
      }
    }
  }

  /** What holds recording up may hold this up, too. */
  async #note(reason: string): Promise<void> {
    const { database } = this.#ports
    await database.transact((tx) => noteReason(tx, this.#job, reason)).catch(() => undefined)
  }

  async #record(): Promise<void> {
    if (this.#waiting.size + this.#stopped.length === 0 && this.#uncounted === noTally) return
    const ends = [...this.#waiting]
    const logBytes = this.#waitingLogBytes
    await this.#ports.chunks.flush()
    const uncounted = this.#uncounted
    this.#uncounted = noTally
    const written = await this.#ports.database
      .transact(
        async (tx) =>
          await this.#write(
            tx,
            ends.map(([, end]) => end),
            uncounted,
          ),
      )
      .catch((error: unknown) => {
        this.#uncounted = addTally(uncounted, this.#uncounted)
        throw error
      })
    for (const [datum] of ends) {
      this.#waiting.delete(datum)
      this.#release(datum)
    }
    this.#waitingLogBytes -= logBytes
    if (written !== undefined) this.#known = addTally(this.#known, written)
  }

  #release(datum: DatumKey): void {
    this.#ports.logs.close(this.#job.id, datum)
    this.#leases.get(datum)?.[Symbol.dispose]()
    this.#leases.delete(datum)
  }

  /** What has not been recorded is not kept any more. */
  [Symbol.dispose](): void {
    this.#stopTimer()
    for (const datum of this.#waiting.keys()) this.#release(datum)
    for (const { datum } of this.#stopped) this.#ports.logs.close(this.#job.id, datum)
  }

  /**
   * Writes ends and counts them; returns what they came to. Results are of use to any job; what is the
   * job's own is written while it is what was run, and undefined returned when it is not. Of a job that
   * is gone, nothing is left behind.
   */
  async #write(
    tx: Transaction,
    ends: readonly DatumEnd[],
    uncounted: Tally,
  ): Promise<Tally | undefined> {
    const job = await findJob(tx, this.#job.id)
    if (job === undefined) return undefined
    let written = noTally
    for (const end of ends) {
      if (end.kind === 'failure') continue
      const isOurs = await insertResult(tx, this.#job, end.result)
      written = addTally(written, isOurs ? tallyOf(end) : { skipped: 1 })
    }
    if (job.pipelineVersion !== this.#job.pipelineVersion) return undefined
    for (const end of ends) {
      if (end.kind === 'result') continue
      await insertFailure(tx, end.failure)
      written = addTally(written, tallyOf(end))
    }
    if (hasEnded(job.state)) for (const run of this.#stopped) await insertFailure(tx, run)
    const counted = addTally({ ...job.counts, stats: job.stats }, uncounted)
    await setCounts(tx, job.id, addTally(counted, written))
    await tx.emit(jobTopic, job.id)
    return written
  }
}

function tallyOf(end: DatumEnd): Partial<Tally> {
  if (end.kind === 'result') return { processed: 1, stats: end.result.stats }
  return end.failure.isRecovered ? { recovered: 1 } : { failed: 1 }
}
