import type { JobId } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { findResults, insertFailure, insertResult, type ReusableResult } from '../datum-results.ts'
import type { DatumKey } from '../datums.ts'
import { addStats, jobTopic, noStats, type ProcessStats } from '../job-records.ts'
import type { DatumEnd } from './datum-run.ts'
import type { RunPorts } from '../run-ports.ts'

/** Results wait at most this long to share a pack and a transaction with others. */
const recordAfterMs = 250
/** This many results are recorded without waiting. */
const recordAtCount = 256

/** How a job's datums stand, as far as this run knows. */
export interface Tally {
  processed: number
  skipped: number
  failed: number
  stats: ProcessStats
}

/**
 * Records datum results of one job, several at a time: their chunks share a flush, their rows a
 * transaction. What has not been recorded when the server dies is processed again.
 */
export class ResultRecorder {
  readonly tally: Tally = { processed: 0, skipped: 0, failed: 0, stats: noStats }
  readonly #ports: RunPorts
  readonly #job: JobId
  readonly #pipelineId: string
  readonly #waiting = new Map<DatumKey, DatumEnd>()
  #recording: Promise<void> = Promise.resolve()
  #lastMs: number

  constructor(ports: RunPorts, job: { readonly id: JobId; readonly pipelineId: string }) {
    this.#ports = ports
    this.#job = job.id
    this.#pipelineId = job.pipelineId
    this.#lastMs = ports.clock.monotonicMs()
  }

  /** Takes a datum's end; resolves at once, or when earlier ones have been recorded. */
  async add(end: DatumEnd): Promise<void> {
    if (end.kind === 'result') {
      this.tally.processed += 1
      this.tally.stats = addStats(this.tally.stats, end.result.stats)
      this.#waiting.set(end.result.datum, end)
    } else {
      this.tally.failed += 1
      this.#waiting.set(end.failure.datum, end)
    }
    const due = this.#ports.clock.monotonicMs() - this.#lastMs >= recordAfterMs
    if (!due && this.#waiting.size < recordAtCount) return
    this.#lastMs = this.#ports.clock.monotonicMs()
    const earlier = this.#recording
    this.#recording = earlier.then(() => this.#record())
    await earlier
  }

  /** Counts a result that was there already: of this job, before a restart, or of another. */
  count(result: ReusableResult): void {
    if (result.job !== this.#job) {
      this.tally.skipped += 1
      return
    }
    this.tally.processed += 1
    this.tally.stats = addStats(this.tally.stats, result.stats)
  }

  /** Results by datum key, recorded or not. */
  async find(
    tx: ReadTransaction,
    datums: readonly DatumKey[],
  ): Promise<ReadonlyMap<DatumKey, ReusableResult>> {
    const found = new Map(await findResults(tx, datums))
    for (const datum of datums) {
      const end = this.#waiting.get(datum)
      if (end?.kind !== 'result') continue
      const { output, stats } = end.result
      found.set(datum, { job: this.#job, output, stats })
    }
    return found
  }

  /** Waits for what is being recorded; `writeRest` then writes what is left, with the job's end. */
  async settle(): Promise<void> {
    await this.#recording
  }

  async writeRest(tx: Transaction): Promise<void> {
    await this.#write(tx, [...this.#waiting.values()])
  }

  async #record(): Promise<void> {
    const ends = [...this.#waiting]
    await this.#ports.chunks.flush()
    await this.#ports.database.transact(async (tx) => {
      await this.#write(
        tx,
        ends.map(([, end]) => end),
      )
    })
    for (const [datum] of ends) this.#waiting.delete(datum)
  }

  async #write(tx: Transaction, ends: readonly DatumEnd[]): Promise<void> {
    for (const end of ends) {
      if (end.kind === 'result') await insertResult(tx, this.#pipelineId, end.result)
      else await insertFailure(tx, end.failure)
    }
    const { processed, skipped, failed, stats } = this.tally
    await tx.run(
      `UPDATE jobs SET datum_processed = ?, datum_skipped = ?, datum_failed = ?, download_ms = ?,
          process_ms = ?, upload_ms = ?, download_bytes = ?, upload_bytes = ? WHERE id = ?`,
      processed,
      skipped,
      failed,
      stats.downloadMs,
      stats.processMs,
      stats.uploadMs,
      stats.downloadBytes,
      stats.uploadBytes,
      this.#job,
    )
    await tx.emit(jobTopic, this.#job)
  }
}
