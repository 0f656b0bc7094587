import type { PipelineName } from '../base/names.ts'
import type { Database, ReadTransaction, SqlRow, SqlValue } from '../database/database.ts'
import { getJob, type JobRecord } from './job-records.ts'
import { statsOf, type ProcessStats } from './process-stats.ts'
import { getPipeline } from './pipeline-records.ts'
import { SpreadOf, type Spread } from './spread.ts'
import { hasEnded, parseJobState, type JobState } from './states.ts'

/** What datums took that were processed to a result: each by itself, then spread over them. */
export type DatumSpreads = Readonly<Record<keyof ProcessStats, Spread>>

export interface JobStatistics {
  readonly job: JobRecord
  readonly datums: DatumSpreads
}

/** Over the jobs of a pipeline, of all its versions, that are remembered. */
export interface PipelineStatistics {
  readonly pipeline: PipelineName
  readonly jobCounts: ReadonlyMap<JobState, number>
  /** Datums of these jobs, by what became of them in each. */
  readonly datumCounts: JobRecord['counts']
  readonly datums: DatumSpreads
  /** How long jobs that have ended ran, and how long all waited for that. */
  readonly runMs: Spread
  readonly waitMs: Spread
}

const pageRows = 1000
const microsPerMilli = 1000

interface StatsRow extends SqlRow {
  readonly datum: string
  readonly salt: string
  /** The id of the pipeline whose job made the result; null when the job is gone. */
  readonly owner: string | null
  readonly finished_at: number
  readonly download_ms: number
  readonly process_ms: number
  readonly upload_ms: number
  readonly download_bytes: number
  readonly upload_bytes: number
}

const statsColumns = `datum, salt, finished_at, download_ms, process_ms, upload_ms, download_bytes, upload_bytes,
  (SELECT job_rows.pipeline_id FROM job_rows WHERE job_rows.id = datum_results.job) AS owner`

/** What datums and jobs took. Goes through rows page by page, and holds a bounded part of them. */
export class Statistics {
  readonly #database: Database

  constructor(ports: { readonly database: Database }) {
    this.#database = ports.database
  }

  /** @throws {JobNotFoundError} */
  async ofJob(id: string): Promise<JobStatistics> {
    const job = await this.#database.read((tx) => getJob(tx, id))
    const datums = new DatumSpreadsOf()
    const rows = this.#rows(
      `WHERE job = ? AND (finished_at, datum) > (?, ?) ORDER BY finished_at, datum`,
      [job.id],
      { first: [-1, ''], keyOf: ({ finished_at: at, datum }) => [at, datum] },
    )
    for await (const row of rows) datums.add(statsOf(row))
    return { job, datums: datums.spreads() }
  }

  /** @throws {PipelineNotFoundError} */
  async ofPipeline(name: string): Promise<PipelineStatistics> {
    const {
      pipelineId,
      lineageId,
      name: pipeline,
    } = await this.#database.read((tx) => getPipeline(tx, name))
    const datums = new DatumSpreadsOf()
    const rows = this.#rows(
      `WHERE pipeline_id = ? AND (salt, finished_at, datum) > (?, ?, ?)
        ORDER BY salt, finished_at, datum`,
      [lineageId],
      { first: ['', -1, ''], keyOf: ({ salt, finished_at: at, datum }) => [salt, at, datum] },
    )
    // Results of a trial are among those of the pipeline that it tries.
    for await (const row of rows) if (row.owner === pipelineId) datums.add(statsOf(row))
    const jobs = new JobSpreads()
    for await (const row of this.#jobs(pipelineId)) jobs.add(row)
    return { pipeline, datums: datums.spreads(), ...jobs.spreads() }
  }

  async *#rows(
    condition: string,
    parameters: readonly SqlValue[],
    paging: {
      readonly first: readonly SqlValue[]
      readonly keyOf: (row: StatsRow) => readonly SqlValue[]
    },
  ): AsyncGenerator<StatsRow> {
    let after = paging.first
    for (;;) {
      const from = after
      const rows = await this.#database.read((tx) =>
        tx.all<StatsRow>(
          `SELECT ${statsColumns} FROM datum_results ${condition} LIMIT ?`,
          ...parameters,
          ...from,
          pageRows,
        ),
      )
      yield* rows
      const last = rows.at(-1)
      if (last === undefined || rows.length < pageRows) return
      after = paging.keyOf(last)
    }
  }

  async *#jobs(pipelineId: string): AsyncGenerator<JobRow> {
    let after = Number.MIN_SAFE_INTEGER
    for (;;) {
      const from = after
      const rows = await this.#database.read((tx) => jobPage(tx, pipelineId, from))
      yield* rows
      const last = rows.at(-1)
      if (last === undefined || rows.length < pageRows) return
      after = last.sequence
    }
  }
}

interface JobRow extends SqlRow {
  readonly sequence: number
  readonly state: string
  readonly created_at: number
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly datum_total: number
  readonly datum_processed: number
  readonly datum_skipped: number
  readonly datum_failed: number
  readonly datum_recovered: number
}

async function jobPage(
  tx: ReadTransaction,
  pipelineId: string,
  after: number,
): Promise<readonly JobRow[]> {
  return await tx.all<JobRow>(
    `SELECT sequence, state, created_at, started_at, finished_at, datum_total, datum_processed,
        datum_skipped, datum_failed, datum_recovered FROM jobs
      WHERE pipeline_id = ? AND sequence > ? ORDER BY sequence LIMIT ?`,
    pipelineId,
    after,
    pageRows,
  )
}

class DatumSpreadsOf {
  readonly #spreads: Readonly<Record<keyof ProcessStats, SpreadOf>> = {
    downloadMs: new SpreadOf(),
    processMs: new SpreadOf(),
    uploadMs: new SpreadOf(),
    downloadBytes: new SpreadOf(),
    uploadBytes: new SpreadOf(),
  }

  add(stats: ProcessStats): void {
    this.#spreads.downloadMs.add(stats.downloadMs)
    this.#spreads.processMs.add(stats.processMs)
    this.#spreads.uploadMs.add(stats.uploadMs)
    this.#spreads.downloadBytes.add(stats.downloadBytes)
    this.#spreads.uploadBytes.add(stats.uploadBytes)
  }

  spreads(): DatumSpreads {
    const { downloadMs, processMs, uploadMs, downloadBytes, uploadBytes } = this.#spreads
    return {
      downloadMs: downloadMs.spread(),
      processMs: processMs.spread(),
      uploadMs: uploadMs.spread(),
      downloadBytes: downloadBytes.spread(),
      uploadBytes: uploadBytes.spread(),
    }
  }
}

class JobSpreads {
  readonly #states = new Map<JobState, number>()
  readonly #runMs = new SpreadOf()
  readonly #waitMs = new SpreadOf()
  #counts: JobRecord['counts'] = { total: 0, processed: 0, skipped: 0, failed: 0, recovered: 0 }

  add(row: JobRow): void {
    const state = parseJobState(row.state)
    this.#states.set(state, (this.#states.get(state) ?? 0) + 1)
    const { total, processed, skipped, failed, recovered } = this.#counts
    this.#counts = {
      total: total + row.datum_total,
      processed: processed + row.datum_processed,
      skipped: skipped + row.datum_skipped,
      failed: failed + row.datum_failed,
      recovered: recovered + row.datum_recovered,
    }
    const { started_at: startedAt, finished_at: finishedAt, created_at: createdAt } = row
    if (startedAt === null) return
    this.#waitMs.add((startedAt - createdAt) / microsPerMilli)
    if (finishedAt !== null && hasEnded(state)) {
      this.#runMs.add((finishedAt - startedAt) / microsPerMilli)
    }
  }

  spreads(): Pick<PipelineStatistics, 'jobCounts' | 'datumCounts' | 'runMs' | 'waitMs'> {
    return {
      jobCounts: this.#states,
      datumCounts: this.#counts,
      runMs: this.#runMs.spread(),
      waitMs: this.#waitMs.spread(),
    }
  }
}
