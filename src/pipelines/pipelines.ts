import type { Clock } from '../base/clock.ts'
import { AlreadyExistsError, InvalidArgumentError } from '../base/errors.ts'
import type { BranchName, JobId, RepoName } from '../base/names.ts'
import { newHexId, type Random } from '../base/random.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { findBranch, requireNoTag, setHead } from '../versioning/branches.ts'
import type { OnHeadReady } from '../versioning/ports.ts'
import { createRepo, deleteRepo, findRepo, getRepo, updateRepo } from '../versioning/repos.ts'
import type { DatumWorkers } from './datum-worker.ts'
import { branchesOf } from './inputs.ts'
import { makeJobByHand, type ChosenCommit } from './manual-jobs.ts'
import { killJobs, openJobIds, removeJob, removeJobs, selectJobs } from './job-records.ts'
import {
  allPipelines,
  findPipeline,
  getPipeline,
  PipelineNotFoundError,
  putPipeline,
  removePipeline,
  setPipelineState,
  type PipelineRecord,
} from './pipeline-records.ts'
import type { RequestedSpec } from './requested-specs.ts'
import { withFromIds } from './specs/from-commits.ts'
import { checkSpec, type PipelineSpec } from './specs.ts'
import { parseJobState, type JobState } from './states.ts'
import type { Triggers } from './triggers.ts'

const commitIdLength = 32

export interface PipelineInfo extends PipelineRecord {
  readonly jobCounts: ReadonlyMap<JobState, number>
  /** One-line notices for people about how this server runs it; often none. */
  readonly notices: readonly string[]
}

export interface UpdateOptions {
  /** Process again what has been processed. */
  readonly reprocess: boolean
}

/** What storing a spec came to, before it was taken back. */
export interface Rehearsal {
  /** As it was; undefined for a pipeline that would be made. */
  readonly old: PipelineRecord | undefined
  readonly pipeline: PipelineRecord
  /** The jobs that had not ended before. */
  readonly openJobs: readonly JobId[]
  readonly notices: readonly string[]
}

/** Thrown to have a transaction rolled back that was only to be looked at. */
class TakenBack extends Error {
  readonly seen: unknown

  constructor(seen: unknown) {
    super('a rehearsal was taken back')
    this.seen = seen
  }
}

/** Standing computations. Each change is one transaction: it happens whole or not at all. */
export class Pipelines {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #triggers: Triggers
  readonly #onHeadReady: OnHeadReady
  readonly #workers: DatumWorkers

  constructor(ports: {
    readonly database: Database
    readonly clock: Clock
    readonly random: Random
    readonly triggers: Triggers
    readonly onHeadReady: OnHeadReady
    readonly workers: DatumWorkers
  }) {
    this.#database = ports.database
    this.#clock = ports.clock
    this.#random = ports.random
    this.#triggers = ports.triggers
    this.#onHeadReady = ports.onHeadReady
    this.#workers = ports.workers
  }

  /**
   * Stores the pipeline, makes its output repo (one of its name is adopted), and makes jobs for
   * what its input branches hold already.
   *
   * @throws {InvalidArgumentError} for a spec that cannot work.
   * @throws {AlreadyExistsError}
   * @throws {NotFoundError} for an input repo that does not exist.
   */
  async create(request: RequestedSpec): Promise<void> {
    const spec = await this.#check(request)
    const now = this.#clock.now()
    await this.#database.transact((tx) => this.#create(tx, now, spec))
  }

  /**
   * Replaces the spec. Results are kept and reused, even where the code has changed, unless
   * `reprocess`. Jobs that have not ended go on with the new code when they read the same
   * branches, else they are stopped. The old output stays reachable as `<branch>-v<version>`.
   *
   * @throws {PipelineNotFoundError}
   */
  async update(request: RequestedSpec, options: UpdateOptions): Promise<void> {
    const spec = await this.#check(request)
    const now = this.#clock.now()
    await this.#database.transact(async (tx) =>
      this.#update(tx, now, await getPipeline(tx, spec.name), { spec, ...options }),
    )
  }

  /**
   * Does what `create`, or `update` where there is such a pipeline, would do, lets `look` see what
   * has come of it, and takes all of it back. `look` awaits nothing but `tx`.
   *
   * @throws what `create` and `update` throw.
   */
  async rehearse<Seen>(
    request: RequestedSpec,
    options: UpdateOptions,
    look: (tx: ReadTransaction, rehearsal: Rehearsal) => Promise<Seen>,
  ): Promise<Seen> {
    const spec = await this.#check(request)
    const now = this.#clock.now()
    try {
      return await this.#database.transact(async (tx): Promise<never> => {
        const old = await findPipeline(tx, spec.name)
        const openJobs = old === undefined ? [] : await openJobIds(tx, old.pipelineId)
        if (old === undefined) await this.#create(tx, now, spec)
        else await this.#update(tx, now, old, { spec, ...options })
        const pipeline = await getPipeline(tx, spec.name)
        const notices = this.#workers.notices(spec.transform)
        throw new TakenBack(await look(tx, { old, pipeline, openJobs, notices }))
      })
    } catch (error) {
      // The cast: whoever threw it is above.
      if (error instanceof TakenBack) return error.seen as Seen
      throw error
    }
  }

  async #create(tx: Transaction, now: number, spec: PipelineSpec): Promise<void> {
    if ((await findPipeline(tx, spec.name)) !== undefined) {
      throw new AlreadyExistsError(
        `pipeline ${spec.name} already exists; use update-pipeline to change it`,
      )
    }
    await this.#store(tx, now, {
      name: spec.name,
      pipelineId: newHexId(this.#random),
      salt: newHexId(this.#random),
      version: 1,
      state: 'running',
      recentError: '',
      createdAt: now,
      spec,
    })
  }

  async #update(
    tx: Transaction,
    now: number,
    old: PipelineRecord,
    { spec, reprocess }: UpdateOptions & { readonly spec: PipelineSpec },
  ): Promise<void> {
    await this.#keepOldOutput(tx, old)
    const pipeline: PipelineRecord = {
      ...old,
      salt: reprocess ? newHexId(this.#random) : old.salt,
      version: old.version + 1,
      state: 'running',
      recentError: '',
      createdAt: now,
      spec,
    }
    await this.#carryJobs(tx, old, pipeline)
    await this.#store(tx, now, pipeline)
  }

  async inspect(name: string): Promise<PipelineInfo> {
    return await this.#database.read(async (tx) => this.#info(tx, await getPipeline(tx, name)))
  }

  /** Latest written first. */
  async list(): Promise<readonly PipelineInfo[]> {
    return await this.#database.read(async (tx) => {
      const infos: PipelineInfo[] = []
      for (const pipeline of await allPipelines(tx)) infos.push(await this.#info(tx, pipeline))
      return infos
    })
  }

  /** New commits start jobs again, first those that came while the pipeline was stopped. */
  async start(name: string): Promise<void> {
    const modifiedAt = this.#clock.now()
    await this.#database.transact(async (tx) => {
      const pipeline = await getPipeline(tx, name)
      const state = 'running'
      await setPipelineState(tx, pipeline.name, { state, recentError: '', modifiedAt })
      await this.#triggers.workOff(tx, pipeline.name)
    })
  }

  /** Interrupts what runs and notes what comes, until `start`. */
  async stop(name: string): Promise<void> {
    const modifiedAt = this.#clock.now()
    await this.#database.transact(async (tx) => {
      const pipeline = await getPipeline(tx, name)
      await setPipelineState(tx, pipeline.name, { state: 'paused', recentError: '', modifiedAt })
    })
  }

  /** Makes a job now; see `makeJobByHand`. @throws {PipelineNotFoundError} */
  async run(name: string, chosen: readonly ChosenCommit[]): Promise<JobId> {
    const ports = { clock: this.#clock, random: this.#random }
    return await this.#database.transact(async (tx) =>
      makeJobByHand(tx, ports, await getPipeline(tx, name), chosen),
    )
  }

  /**
   * Jobs that have not ended are stopped; the output repo stays unless asked. With `cascade`, every
   * pipeline that reads what it writes, directly or not, is deleted in the same way.
   */
  async delete(
    name: string,
    options: {
      readonly deleteJobs: boolean
      readonly deleteRepo: boolean
      readonly cascade?: boolean
    },
  ): Promise<void> {
    const at = this.#clock.now()
    await this.#database.transact(
      async (tx) => {
        const pipeline = await findPipeline(tx, name)
        if (pipeline === undefined) throw new PipelineNotFoundError(name)
        const going = options.cascade === true ? await withReaders(tx, pipeline) : [pipeline]
        // Those that read first, so that no output repo goes before them.
        for (const one of going.toReversed()) await this.#remove(tx, one, { ...options, at })
      },
      { usesReserve: true },
    )
  }

  async deleteAll(options: {
    readonly deleteJobs: boolean
    readonly deleteRepo: boolean
  }): Promise<void> {
    const at = this.#clock.now()
    await this.#database.transact(
      async (tx) => {
        for (const pipeline of await allPipelines(tx)) {
          await this.#remove(tx, pipeline, { ...options, at })
        }
        if (options.deleteJobs) {
          for (const job of await selectJobs(tx, '')) await removeJob(tx, job.id)
        }
      },
      { usesReserve: true },
    )
  }

  async #check(request: RequestedSpec): Promise<PipelineSpec> {
    const { input } = request
    if (input === undefined) return checkSpec(request)
    const resolved = await this.#database.read((tx) => withFromIds(tx, input))
    return checkSpec({ ...request, input: resolved })
  }

  async #info(tx: ReadTransaction, pipeline: PipelineRecord): Promise<PipelineInfo> {
    const rows = await tx.all<{ readonly state: string; readonly count: number }>(
      'SELECT state, COUNT(*) AS count FROM jobs WHERE pipeline_id = ? GROUP BY state',
      pipeline.pipelineId,
    )
    const jobCounts = new Map(rows.map(({ state, count }) => [parseJobState(state), count]))
    const notices = this.#workers.notices(pipeline.spec.transform)
    return { ...pipeline, jobCounts, notices }
  }

  async #store(tx: Transaction, now: number, pipeline: PipelineRecord): Promise<void> {
    const { spec } = pipeline
    const inputs: RepoName[] = []
    for (const atom of branchesOf(spec.input)) inputs.push((await getRepo(tx, atom.repo)).name)
    await putOutputRepo(tx, spec, inputs, now)
    await requireNoTag(tx, spec.name, spec.outputBranch)
    await putPipeline(tx, pipeline, now)
    await this.#triggers.beginWith(tx, pipeline)
  }

  async #keepOldOutput(tx: Transaction, old: PipelineRecord): Promise<void> {
    const repo = old.name as string as RepoName
    const branch = await findBranch(tx, repo, old.spec.outputBranch)
    if (branch === undefined) return
    const name = nameOfOld(old)
    await requireNoTag(tx, repo, name)
    await setHead(tx, this.#onHeadReady, { ...branch, name })
  }

  async #carryJobs(tx: Transaction, old: PipelineRecord, now: PipelineRecord): Promise<void> {
    const carried = old.salt === now.salt && readsAsText(old.spec) === readsAsText(now.spec)
    if (!carried) {
      const reason = `pipeline ${old.name} was updated`
      return await killJobs(tx, old.pipelineId, { reason, at: this.#clock.now() })
    }
    // The datums are found anew: the glob may have changed.
    await tx.run(
      `UPDATE jobs SET pipeline_version = ?, output_branch = ?, datum_set_root = NULL,
        base_job = NULL WHERE pipeline_id = ? AND state IN ('starting', 'running')`,
      now.version,
      now.spec.outputBranch,
      old.pipelineId,
    )
  }

  async #remove(
    tx: Transaction,
    pipeline: PipelineRecord,
    options: { readonly deleteJobs: boolean; readonly deleteRepo: boolean; readonly at: number },
  ): Promise<void> {
    const reason = `pipeline ${pipeline.name} was deleted`
    if (options.deleteJobs) await removeJobs(tx, pipeline.pipelineId)
    else await killJobs(tx, pipeline.pipelineId, { reason, at: options.at })
    if (options.deleteJobs) {
      await tx.run('DELETE FROM datum_results WHERE pipeline_id = ?', pipeline.pipelineId)
    }
    await removePipeline(tx, pipeline, options.at)
    if (!options.deleteRepo || (await findRepo(tx, pipeline.name)) === undefined) return
    await deleteRepo(tx, pipeline.name, { force: true })
  }
}

/** A pipeline, and all that read what it writes, directly or not; each behind all that it reads. */
async function withReaders(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
): Promise<readonly PipelineRecord[]> {
  const all = await allPipelines(tx)
  const behind: PipelineRecord[] = []
  const seen = new Set<string>()
  const visit = (one: PipelineRecord): void => {
    if (seen.has(one.name)) return
    seen.add(one.name)
    for (const other of all) {
      const reads = branchesOf(other.spec.input).some(({ repo }) => repo === String(one.name))
      if (reads) visit(other)
    }
    behind.push(one)
  }
  visit(pipeline)
  return behind.toReversed()
}

/** The branch that keeps what a version of a pipeline wrote. */
function nameOfOld({ spec, version }: PipelineRecord): BranchName {
  const name = `${spec.outputBranch}-v${version}`
  // As long as a commit's id, no branch may be.
  return (name.length === commitIdLength ? `${name}-old` : name) as BranchName
}

/** The branches that a spec reads, as text that can be compared. */
function readsAsText(spec: PipelineSpec): string {
  return JSON.stringify(branchesOf(spec.input).map(({ repo, branch }) => [repo, branch]))
}

async function putOutputRepo(
  tx: Transaction,
  spec: PipelineSpec,
  inputs: readonly RepoName[],
  createdAt: number,
): Promise<void> {
  const name = spec.name as string as RepoName
  const existing = await findRepo(tx, name)
  const described = spec.description || existing?.description
  const description = described || `Output repo for pipeline ${spec.name}.`
  if (existing === undefined)
    await createRepo(tx, { name, provenance: inputs, description, createdAt })
  else await updateRepo(tx, { name, provenance: inputs, description })
}

/** For a request without any pipeline name. @throws {InvalidArgumentError} */
export function requirePipelineName(name: string | undefined): string {
  if (name !== undefined && name !== '') return name
  throw new InvalidArgumentError('a pipeline name is needed, but none was given')
}
