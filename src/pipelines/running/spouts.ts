import type { Clock, Instant } from '../../base/clock.ts'
import type { CommitId } from '../../base/names.ts'
import type { Random } from '../../base/random.ts'
import type { Database, ReadTransaction, SqlRow, Transaction } from '../../database/database.ts'
import { madeBy } from '../jobs/job-making.ts'
import { insertJob, removeJob, selectJobs } from '../job-records.ts'
import { getPipeline, type PipelineRecord } from '../pipeline-records.ts'
import { unendedStates } from '../states.ts'

/** A run that ended sooner than this counts as one that went wrong at once. */
const shortRunMicros = 60_000_000
/** The pause after a run; doubled with each short run that follows another. */
const pauseMicrosMin = 1_000_000
const pauseMicrosMax = 60_000_000
/** Short runs that are counted: then the pause is as long as it gets. */
const countedRunsMax = 8
/** Runs of a spout that are remembered, with what they printed. */
const endedJobsMax = 100

interface EndedRow extends SqlRow {
  readonly id: string
  readonly started_at: number | null
  readonly finished_at: number | null
}

/**
 * Has the code of spouts run for ever: each run is a job without inputs, which makes no commit; when
 * it ends, another follows after a pause. What is due follows from the jobs alone, so that a restart
 * of the server changes nothing.
 */
export class Spouts {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random

  constructor(ports: {
    readonly database: Database
    readonly clock: Clock
    readonly random: Random
  }) {
    this.#database = ports.database
    this.#clock = ports.clock
    this.#random = ports.random
  }

  /** Makes the jobs that are due. Returns when the next one will be; undefined when none is. */
  async begin(): Promise<Instant | undefined> {
    const idle = await this.#database.read(idleSpouts)
    if (idle.length === 0) return undefined
    let next: Instant | undefined
    for (const name of idle) {
      const due = await this.#database.transact((tx) => this.#beginOne(tx, name))
      if (due !== undefined) next = Math.min(next ?? due, due)
    }
    return next
  }

  async #beginOne(tx: Transaction, name: string): Promise<Instant | undefined> {
    // Looked at again: it may have been stopped or begun meanwhile.
    if (!(await idleSpouts(tx)).includes(name)) return undefined
    const pipeline = await getPipeline(tx, name)
    const now = this.#clock.now()
    const due = await dueAt(tx, pipeline)
    if (due > now) return due
    await forgetOld(tx, pipeline)
    const made = madeBy(pipeline, { clock: this.#clock, random: this.#random })
    await insertJob(tx, {
      ...made,
      // There are no inputs that would tell runs apart.
      inputsKey: made.id,
      isByHand: false,
      parentJob: undefined,
      inputs: [],
      trigger: { repo: made.outputRepo, branch: made.outputBranch, commit: '' as CommitId },
      provenance: new Set(),
    })
    return undefined
  }
}

/** The running spouts that have no job under way. */
async function idleSpouts(tx: ReadTransaction): Promise<readonly string[]> {
  const rows = await tx.all<{ readonly name: string }>(
    `SELECT name FROM pipelines p WHERE is_spout = 1 AND state = 'running' AND NOT EXISTS (
      SELECT 1 FROM jobs j WHERE j.pipeline_id = p.id AND j.state IN ${unendedStates})
      ORDER BY name`,
  )
  return rows.map(({ name }) => name)
}

async function dueAt(
  tx: ReadTransaction,
  { pipelineId, version }: PipelineRecord,
): Promise<Instant> {
  // An update is a new beginning.
  const rows = await tx.all<EndedRow>(
    `SELECT id, started_at, finished_at FROM jobs WHERE pipeline_id = ? AND pipeline_version = ?
      ORDER BY sequence DESC LIMIT ?`,
    pipelineId,
    version,
    countedRunsMax,
  )
  const ended = rows[0]?.finished_at
  if (ended === undefined || ended === null) return 0
  const lasting = rows.findIndex((row) => !isShort(row))
  const shortCount = lasting === -1 ? rows.length : lasting
  return ended + Math.min(pauseMicrosMax, pauseMicrosMin * 2 ** Math.max(0, shortCount - 1))
}

function isShort({ started_at: started, finished_at: finished }: EndedRow): boolean {
  return started === null || finished === null || finished - started < shortRunMicros
}

async function forgetOld(tx: Transaction, { pipelineId }: PipelineRecord): Promise<void> {
  const old = await selectJobs(
    tx,
    `WHERE pipeline_id = ? AND sequence < (SELECT MIN(sequence) FROM (
        SELECT sequence FROM jobs WHERE pipeline_id = ? ORDER BY sequence DESC LIMIT ?) AS latest)`,
    pipelineId,
    pipelineId,
    endedJobsMax,
  )
  for (const { id } of old) await removeJob(tx, id)
}
