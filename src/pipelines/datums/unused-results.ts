import { CancelledError } from '../../base/errors.ts'
import type { Database, ReadTransaction, SqlRow } from '../../database/database.ts'
import type { ProllyMaps } from '../../storage/prolly-map.ts'
import { resultsAmong } from '../datum-results.ts'
import { decodeDatum } from './datum-sets.ts'
import type { DatumKey } from '../datums.ts'
import { shapeOf } from '../inputs.ts'
import { findJob, selectJobs, type JobRecord } from '../job-records.ts'
import { specOfVersion } from '../pipeline-records.ts'
import { hasEnded } from '../states.ts'

/** Datums that are looked up in one query. */
const lookupCountMax = 500
/** Looks into datum sets of jobs that stay; results that are left then are kept. */
const looksMax = 500_000
/** Results that are found; more are kept. */
const resultsMax = 100_000

interface NewDatum {
  readonly orderKey: Uint8Array
  readonly key: DatumKey
}

/**
 * Finds datum results that only jobs which are to go have: what those made, and no other job of the
 * same pipeline has among its datums, or among those of the job that it starts from while it runs. Cost: the datums that were new in the jobs which go, times the
 * jobs of their pipelines which stay. What is in doubt is kept: a result too many only takes space.
 */
export class UnusedResults {
  readonly #database: Database
  readonly #maps: ProllyMaps
  #looksLeft = looksMax

  constructor(database: Database, maps: ProllyMaps) {
    this.#database = database
    this.#maps = maps
  }

  async of(jobs: readonly JobRecord[], signal?: AbortSignal): Promise<readonly DatumKey[]> {
    const going = new Set<string>(jobs.map(({ id }) => id))
    const unused: DatumKey[] = []
    for (const job of jobs) {
      const staying = await this.#staying(job, going)
      if (staying === 'unlike') continue
      for await (const datum of this.#made(job)) {
        if (signal?.aborted === true) throw new CancelledError('the call was cancelled')
        if (unused.length === resultsMax || this.#looksLeft <= 0) return unused
        if (!(await this.#isUsed(datum, staying))) unused.push(datum.key)
      }
    }
    return unused
  }

  /** Datum sets of the jobs that stay; `unlike` when one may have the datums in other places. */
  async #staying(
    job: JobRecord,
    going: ReadonlySet<string>,
  ): Promise<ReadonlySet<NonNullable<JobRecord['datumSet']>> | 'unlike'> {
    return this.#database.read(async (tx) => {
      const others = await selectJobs(
        tx,
        'WHERE lineage_id = ? AND salt = ? AND datum_set_root IS NOT NULL ORDER BY sequence',
        job.lineageId,
        job.salt,
      )
      const sets = new Set<NonNullable<JobRecord['datumSet']>>()
      const versions = new Set<number>([job.pipelineVersion])
      for (const other of others) {
        if (going.has(other.id) || other.datumSet === undefined) continue
        versions.add(other.pipelineVersion)
        sets.add(other.datumSet)
        if (hasEnded(other.state)) continue
        // It takes out of its base's output what its own datums do not make.
        const base = others.find(({ id }) => id === other.baseJob)
        if (base?.datumSet !== undefined) sets.add(base.datumSet)
      }
      const shapes = new Set<string>()
      for (const version of versions) {
        const spec = await specOfVersion(tx, job.pipelineId, version)
        if (spec !== undefined) shapes.add(shapeOf(spec.input))
      }
      return shapes.size > 1 ? 'unlike' : sets
    })
  }

  /** The datums that the job made the results of. */
  async *#made(job: JobRecord): AsyncGenerator<NewDatum> {
    if (job.datumSet === undefined) return
    const { baseJob } = job
    const base = baseJob && (await this.#database.read((tx) => findJob(tx, baseJob)))
    const before = base?.goodSet ?? base?.datumSet ?? (await this.#maps.empty())
    let batch: NewDatum[] = []
    for await (const { key: orderKey, after } of this.#maps.diff(before, job.datumSet)) {
      if (after === undefined) continue
      batch.push({ orderKey, key: decodeDatum(after).key })
      if (batch.length < lookupCountMax) continue
      yield* await this.#madeAmong(job, batch)
      batch = []
    }
    yield* await this.#madeAmong(job, batch)
  }

  async #madeAmong(job: JobRecord, datums: readonly NewDatum[]): Promise<readonly NewDatum[]> {
    const keys = datums.map(({ key }) => key)
    const made = await this.#database.read((tx) => resultsAmong(tx, job.id, keys))
    return datums.filter(({ key }) => made.has(key))
  }

  async #isUsed(
    { orderKey, key }: NewDatum,
    sets: ReadonlySet<NonNullable<JobRecord['datumSet']>>,
  ): Promise<boolean> {
    for (const set of sets) {
      this.#looksLeft -= 1
      const value = await this.#maps.get(set, orderKey)
      if (value !== undefined && decodeDatum(value).key === key) return true
    }
    return false
  }
}

/** Changes whenever a job of the pipeline gets to know its datums, or goes. */
export async function plannedJobs(tx: ReadTransaction, pipelineId: string): Promise<SqlRow> {
  const row = await tx.get(
    `SELECT COUNT(*) AS planned, MAX(sequence) AS last FROM jobs
      WHERE pipeline_id = ? AND datum_set_root IS NOT NULL`,
    pipelineId,
  )
  return row ?? {}
}
