import { hexText } from '../base/bytes.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import type { PipelineName } from '../base/names.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import { decodeLog, type RunningLogs } from './datum-logs.ts'
import {
  type DatumResult,
  failuresOfJob,
  findResult,
  type ResultPosition,
  resultsOfJob,
} from './datum-results.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import type { LogLine } from './executor.ts'
import { getJob, selectJobs, type JobRecord } from './job-records.ts'
import { PipelineNotFoundError } from './pipeline-records.ts'

/** One line that user code wrote, and where. */
export interface JobLogLine {
  readonly pipeline: PipelineName
  readonly job: JobRecord['id']
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  readonly line: LogLine
}

export interface LogFilter {
  readonly job?: string | undefined
  readonly pipeline?: string | undefined
  readonly datum?: string | undefined
  /** Each must be a path, or a hash in hex or base64, of some member of the datum. */
  readonly data: readonly string[]
}

/** Datums whose logs are read at a time: each at most 1 MiB. */
const pageCountMax = 16

/** What user code wrote: kept with each datum's result, so that it is there as long as that is. */
export class JobLogs {
  readonly #database: Database
  readonly #running: RunningLogs

  constructor(ports: { readonly database: Database; readonly running: RunningLogs }) {
    this.#database = ports.database
    this.#running = ports.running
  }

  /**
   * Lines of a job's datums, or of all jobs of a pipeline (oldest job first): datum by datum in the
   * order in which they ended, those that still run last.
   *
   * @throws {InvalidArgumentError} when neither job nor pipeline is given.
   * @throws {NotFoundError}
   */
  async *lines(filter: LogFilter): AsyncGenerator<JobLogLine> {
    for (const job of await this.#jobsOf(filter)) {
      for await (const entry of this.#entriesOf(job)) {
        if (!matches(filter, entry)) continue
        for (const line of entry.lines) {
          yield {
            pipeline: job.pipeline,
            job: job.id,
            datum: entry.datum,
            members: entry.members,
            line,
          }
        }
      }
    }
  }

  async #jobsOf({ job, pipeline }: LogFilter): Promise<readonly JobRecord[]> {
    return await this.#database.read(async (tx) => {
      if (job !== undefined) {
        const found = await getJob(tx, job)
        return pipeline === undefined || found.pipeline === pipeline ? [found] : []
      }
      if (pipeline === undefined) {
        throw new InvalidArgumentError(
          'must set either pipeline or job filter (or both) in call to GetLogs',
        )
      }
      const jobs = await selectJobs(tx, 'WHERE pipeline = ? ORDER BY sequence', pipeline)
      if (jobs.length > 0) return jobs
      const row = await tx.get('SELECT name FROM pipelines WHERE name = ?', pipeline)
      if (row === undefined) throw new PipelineNotFoundError(pipeline)
      return []
    })
  }

  async *#entriesOf(job: JobRecord): AsyncGenerator<DatumLogEntry> {
    yield* this.#recorded((tx, page) => resultsOfJob(tx, job.id, page))
    yield* this.#recorded((tx, page) => failuresOfJob(tx, job.id, page))
    for (const [datum, log] of this.#running.of(job.id)) {
      const recorded = await this.#database.read((tx) => findResult(tx, datum))
      if (recorded === undefined) yield { datum, members: [], lines: log.lines() }
    }
  }

  async *#recorded(pageOf: PageOf): AsyncGenerator<DatumLogEntry> {
    let after: ResultPosition | undefined
    for (;;) {
      const page = { after, countMax: pageCountMax }
      const ends = await this.#database.read((tx) => pageOf(tx, page))
      for (const { datum, members, log } of ends) yield { datum, members, lines: decodeLog(log) }
      after = ends.at(-1)
      if (ends.length < pageCountMax) return
    }
  }
}

type RecordedEnd = Pick<DatumResult, 'datum' | 'members' | 'finishedAt' | 'log'>
type PageOf = (
  tx: ReadTransaction,
  page: { readonly after: ResultPosition | undefined; readonly countMax: number },
) => Promise<readonly RecordedEnd[]>

interface DatumLogEntry {
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  readonly lines: readonly LogLine[]
}

function matches(filter: LogFilter, entry: DatumLogEntry): boolean {
  if (filter.datum !== undefined && filter.datum !== entry.datum) return false
  return filter.data.every((wanted) =>
    entry.members.some(
      ({ path, hash }) =>
        path === wanted ||
        path === `/${wanted}` ||
        hexText(hash) === wanted ||
        Buffer.from(hash).toString('base64') === wanted,
    ),
  )
}
