import type { PipelineName } from '../../base/names.ts'
import type { Database, ReadTransaction } from '../../database/database.ts'
import type { ProllyMaps } from '../../storage/prolly-map.ts'
import { decodeDatum } from '../datums/datum-sets.ts'
import type { DatumKey } from '../datums.ts'
import { findJob, type JobRecord } from '../job-records.ts'
import {
  endedRuns,
  endedRunsOfDatum,
  runsOfResults,
  type EndedRun,
  type RunOrder,
  type RunPage,
} from './log-rows.ts'
import { isInScope, type LogScope } from './log-scope.ts'

/** A run that has ended, and the pipeline whose job it was part of. */
export interface RunOfPipeline extends EndedRun {
  readonly pipeline: PipelineName
}

/** Rows that are read at a time, without their logs. */
const pageCountMax = 250
const jobPageCountMax = 100
/** Runs of one datum that are told: the latest. */
const datumRunCountMax = 1000

type JobFacts = Pick<JobRecord, 'id' | 'pipeline' | 'pipelineVersion'>

/** The ended runs that a scope asks for, by job, in the order in which they ended, or the reverse. */
export class EndedRuns {
  readonly #database: Database
  readonly #maps: ProllyMaps

  constructor(ports: { readonly database: Database; readonly maps: ProllyMaps }) {
    this.#database = ports.database
    this.#maps = ports.maps
  }

  async *in(scope: LogScope, order: RunOrder): AsyncGenerator<RunOfPipeline> {
    const { filter, job } = scope
    if (filter.datum !== undefined) {
      const runs = await this.#ofDatum(filter.datum, scope)
      yield* order === 'oldest first' ? runs : runs.toReversed()
      return
    }
    for await (const one of job === undefined ? this.#jobs(scope, order) : [job]) {
      const version = one.pipelineVersion
      if (!isInScope(scope, { ...one, job: one.id, pipelineVersion: version })) continue
      yield* this.#ofJob(one, scope, order)
    }
    if (job !== undefined && filter.withSkipped === true) yield* this.#skippedBy(job)
  }

  async *#ofJob(
    { id, pipeline }: JobFacts,
    { filter: { since = 0 } }: LogScope,
    order: RunOrder,
  ): AsyncGenerator<RunOfPipeline> {
    let after: RunPage['after']
    for (;;) {
      const page: RunPage = { after, order, countMax: pageCountMax, since }
      const runs = await this.#database.read((tx) => endedRuns(tx, id, page))
      for (const run of runs) yield { ...run, pipeline }
      after = runs.at(-1)
      if (runs.length < pageCountMax) return
    }
  }

  /** Oldest first. Of a datum that a job skipped, the run that made its result in another job. */
  async #ofDatum(datum: string, scope: LogScope): Promise<readonly RunOfPipeline[]> {
    return await this.#database.read(async (tx) => {
      const found: RunOfPipeline[] = []
      for (const run of await endedRunsOfDatum(tx, datum, datumRunCountMax)) {
        const ran = await findJob(tx, run.job)
        if (ran === undefined || !(await isRunInScope(tx, scope, run, ran))) continue
        found.push({ ...run, pipeline: ran.pipeline })
      }
      return found
    })
  }

  /** In datum order. */
  async *#skippedBy({ id, pipeline, datumSet }: JobRecord): AsyncGenerator<RunOfPipeline> {
    if (datumSet === undefined) return
    let keys: DatumKey[] = []
    const look = async (): Promise<readonly RunOfPipeline[]> => {
      const runs = await this.#database.read((tx) => runsOfResults(tx, keys))
      const byKey = new Map(runs.map((run) => [run.datum, run]))
      const ordered = keys.map((key) => byKey.get(key)).filter((run) => run !== undefined)
      return ordered.filter(({ job }) => job !== id).map((run) => ({ ...run, pipeline }))
    }
    for await (const { value } of this.#maps.scan(datumSet)) {
      keys.push(decodeDatum(value).key)
      if (keys.length < pageCountMax) continue
      yield* await look()
      keys = []
    }
    yield* await look()
  }

  /** The jobs of a pipeline, but for those that ended too early. */
  async *#jobs({ filter }: LogScope, order: RunOrder): AsyncGenerator<JobFacts> {
    const { pipeline = '', since = 0 } = filter
    const [comparison, direction] = order === 'oldest first' ? ['>', 'ASC'] : ['<', 'DESC']
    let after = order === 'oldest first' ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER
    type Row = { readonly sequence: number; readonly id: string; readonly version: number }
    for (;;) {
      const last = after
      const rows = await this.#database.read((tx) =>
        tx.all<Row>(
          `SELECT sequence, id, pipeline_version AS version FROM jobs
            WHERE pipeline = ? AND sequence ${comparison} ? AND COALESCE(finished_at, ?) >= ?
            ORDER BY sequence ${direction} LIMIT ?`,
          pipeline,
          last,
          since,
          since,
          jobPageCountMax,
        ),
      )
      for (const { id, version } of rows) {
        yield {
          id: id as JobRecord['id'],
          pipeline: pipeline as PipelineName,
          pipelineVersion: version,
        }
      }
      after = rows.at(-1)?.sequence ?? after
      if (rows.length < jobPageCountMax) return
    }
  }
}

async function isRunInScope(
  tx: ReadTransaction,
  scope: LogScope,
  run: EndedRun,
  ran: JobRecord,
): Promise<boolean> {
  const { job } = scope
  const facts = { job: run.job, pipeline: ran.pipeline, pipelineVersion: ran.pipelineVersion }
  if (job === undefined || run.job === job.id) return isInScope(scope, facts)
  // The job may have skipped it: what made the result is wanted, unless the job failed it itself.
  if (run.kind === 'failure') return false
  const own = await tx.get(
    'SELECT datum FROM datum_failures WHERE job = ? AND datum = ?',
    job.id,
    run.datum,
  )
  return own === undefined
}
