import type { Clock, Instant } from '../base/clock.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import type { JobId } from '../base/names.ts'
import type { Random } from '../base/random.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import type { OnHeadReady } from '../versioning/ports.ts'
import { snapshotKeys } from '../storage/snapshot-keys.ts'
import type { Spools } from '../storage/spool.ts'
import { deletedAtOnceMax, findRepo, removeRepo, requireNoTags } from '../versioning/repos.ts'
import type { DatumWorkers } from './datum-worker.ts'
import { branchesOf } from './inputs.ts'
import { makeJobByHand, type ChosenCommit } from './manual-jobs.ts'
import {
  deletedReason,
  markAllJobsDeleted,
  markJobsDeleted,
  purgeDeletedJobs,
} from './deleted-jobs.ts'
import { openJobIds } from './job-records.ts'
import { killJobs, killNotedJobs } from './killed-jobs.ts'
import type { OutputExports } from './output-exports.ts'
import { PipelineChanges } from './specs/pipeline-changes.ts'
import {
  allPipelines,
  findPipeline,
  getPipeline,
  latestNames,
  PipelineNotFoundError,
  pipelinePage,
  removePipeline,
  setPipelineState,
  type PipelineRecord,
} from './pipeline-records.ts'
import { requireRepos } from './running/lost-repos.ts'
import { completeProvenance } from './outputs/output-provenance.ts'
import { rehearsed } from './specs/rehearsals.ts'
import type { RequestedSpec } from './requested-specs.ts'
import { specNotices } from './specs/notices.ts'
import { checkSchedules } from './specs/schedule-check.ts'
import { workerTransform } from './specs/worker-transform.ts'
import { SpecValidations, type SpecValidation } from './specs/spec-validations.ts'
import type { ServiceDoors } from './service-doors.ts'
import { parseJobState, type JobState } from './states.ts'
import {
  allTrialPipelineNames,
  refuseTrialPipeline,
  refuseTried,
  removeAllTrialRecords,
} from './trials/trial-records.ts'
import type { Triggers } from './triggers.ts'

/** Longer than any name is: those that do not exist are told by it. */
const nameLengthMax = 4096
/** Pipelines that are read in one turn of the event loop: their specs have up to 1 MiB each. */
const pageCount = 20
/** Specs that are stored before one that is looked at. */
const beforeCountMax = 100

export interface PipelineInfo extends PipelineRecord {
  readonly jobCounts: ReadonlyMap<JobState, number>
  /** One-line notices for people about how this server runs it; often none. */
  readonly notices: readonly string[]
  /** Where its code runs, for people. */
  readonly runsIn: string
}

export interface UpdateOptions {
  /** Process again what has been processed. */
  readonly reprocess: boolean
}

/** A spec, and how it would be stored. */
export interface PlannedSpec {
  readonly request: RequestedSpec
  readonly options: UpdateOptions
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

/** Standing computations. Each change is one transaction: it happens whole or not at all. */
export class Pipelines {
  readonly #database: Database
  readonly #spools: Spools
  readonly #clock: Clock
  readonly #random: Random
  readonly #triggers: Triggers
  readonly #changes: PipelineChanges
  readonly #validations: SpecValidations
  readonly #workers: DatumWorkers

  constructor(ports: {
    readonly database: Database
    readonly spools: Spools
    readonly clock: Clock
    readonly random: Random
    readonly triggers: Triggers
    readonly onHeadReady: OnHeadReady
    readonly workers: DatumWorkers
    readonly exports: Pick<OutputExports, 'check'>
    readonly serviceDoors: Pick<ServiceDoors, 'ownPorts'>
  }) {
    this.#database = ports.database
    this.#spools = ports.spools
    this.#clock = ports.clock
    this.#random = ports.random
    this.#triggers = ports.triggers
    this.#changes = new PipelineChanges(ports)
    this.#validations = new SpecValidations({ ...ports, changes: this.#changes })
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
    const now = this.#clock.now()
    await checkSchedules(request, now)
    await this.#database.transact(async (tx) => {
      await this.#triggers.beginWith(tx, await this.#changes.create(tx, request, now))
    })
    // Its first job finds it known, or does not wait for all of it.
    void this.#workers.look()
  }

  /**
   * Replaces the spec. Results are kept and reused, even where the code has changed, unless
   * `reprocess`. Jobs that have not ended go on with the new code when they read the same
   * branches, else they are stopped. The old output stays reachable as `<branch>-v<version>`.
   *
   * @throws {PipelineNotFoundError}
   */
  async update(request: RequestedSpec, options: UpdateOptions): Promise<void> {
    const now = this.#clock.now()
    await checkSchedules(request, now)
    await this.#database.transact(async (tx) => {
      const pipeline = await this.#changes.update(tx, request, { ...options, now })
      await this.#triggers.beginWith(tx, pipeline)
    })
    await killNotedJobs(this.#database)
  }

  /**
   * Does what `create`, or `update` where there is such a pipeline, would do, lets `look` see what
   * has come of it, and takes all of it back. `look` awaits nothing but `tx`. The specs of `before`
   * are stored first, without their jobs.
   *
   * @throws what `create` and `update` throw.
   */
  async rehearse<Seen>(
    { request, options }: PlannedSpec,
    before: readonly PlannedSpec[],
    look: (tx: ReadTransaction, rehearsal: Rehearsal) => Promise<Seen>,
  ): Promise<Seen> {
    if (before.length > beforeCountMax) {
      throw new InvalidArgumentError(
        `${before.length} specs are too many before one that is planned: at most ${beforeCountMax} are allowed`,
      )
    }
    const now = this.#clock.now()
    for (const one of [...before, { request }]) await checkSchedules(one.request, now)
    await this.#workers.look()
    return await rehearsed(this.#database, async (tx) => {
      for (const one of before) await this.#changes.put(tx, one.request, { ...one.options, now })
      const old = await findPipeline(tx, request.name ?? '')
      const openJobs = old === undefined ? [] : await openJobIds(tx, old.pipelineId)
      const pipeline = await this.#changes.put(tx, request, { ...options, now })
      await this.#triggers.beginWith(tx, pipeline)
      return await look(tx, { old, pipeline, openJobs, notices: this.#notices(pipeline) })
    })
  }

  /** What would become of specs; see `SpecValidations`. */
  async validate(requests: readonly RequestedSpec[]): Promise<readonly SpecValidation[]> {
    await this.#workers.look()
    return await this.#validations.validate(requests)
  }

  /** A pipeline that is not stored, as `inspect` would show it. */
  preview(pipeline: PipelineRecord): PipelineInfo {
    return { ...pipeline, jobCounts: new Map(), ...this.#running(pipeline) }
  }

  async inspect(name: string): Promise<PipelineInfo> {
    await this.#workers.look()
    return await this.#database.read(async (tx) => this.#info(tx, await getPipeline(tx, name)))
  }

  /** By name, in pages: whatever is there all the while is told once. */
  async *pages(): AsyncGenerator<
    readonly { readonly info: PipelineInfo; readonly modifiedAt: Instant }[]
  > {
    for (let last = ''; ;) {
      const after = last
      const page = await this.#database.read(async (tx) => {
        const listed = await pipelinePage(tx, after, pageCount)
        return await Promise.all(
          listed.map(async ({ pipeline, modifiedAt }) => ({
            info: await this.#info(tx, pipeline),
            modifiedAt,
          })),
        )
      })
      yield page
      last = page.at(-1)?.info.name ?? last
      if (page.length < pageCount) return
    }
  }

  /**
   * As they were when it began, the latest written first, in pages of any length. One that is
   * deleted meanwhile may be left out.
   */
  async *latest(): AsyncGenerator<readonly PipelineInfo[]> {
    const ports = { database: this.#database, spools: this.#spools }
    for await (const names of snapshotKeys(ports, latestNames)) {
      for (let from = 0; from < names.length; from += pageCount) {
        const page = names.slice(from, from + pageCount)
        yield await this.#database.read(async (tx) => {
          const infos: PipelineInfo[] = []
          for (const name of page) {
            const pipeline = await findPipeline(tx, name)
            if (pipeline !== undefined) infos.push(await this.#info(tx, pipeline))
          }
          return infos
        })
      }
    }
  }

  /** As `pages`, all of them, the latest written first. */
  async list(): Promise<readonly PipelineInfo[]> {
    const pipelines = (await Array.fromAsync(this.pages())).flat()
    // Sorting is stable: those written at the same time stay in the order of their names.
    return pipelines
      .toSorted((left, right) => right.modifiedAt - left.modifiedAt)
      .map(({ info }) => info)
  }

  /** New commits start jobs again, first those that came while the pipeline was stopped. */
  async start(name: string): Promise<void> {
    const modifiedAt = this.#clock.now()
    await this.#database.transact(async (tx) => {
      const pipeline = await getPipeline(tx, name)
      await requireRepos(tx, pipeline)
      await completeProvenance(tx, pipeline.spec)
      const state = 'running'
      await setPipelineState(tx, pipeline.name, { state, recentError: '', modifiedAt })
      await this.#triggers.workOff(tx, pipeline.name)
    })
  }

  /** Interrupts what runs and notes what comes, until `start`. */
  async stop(name: string): Promise<void> {
    const modifiedAt = this.#clock.now()
    await this.#database.transact(
      async (tx) => {
        const pipeline = await getPipeline(tx, name)
        await setPipelineState(tx, pipeline.name, { state: 'paused', recentError: '', modifiedAt })
      },
      // What fills the disk may be what it runs.
      { usesReserve: true },
    )
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
   *
   * @throws {RepoTaggedError} when a repo is to go that has tagged commits.
   */
  async delete(
    name: string,
    options: {
      readonly deleteJobs: boolean
      readonly deleteRepo: boolean
      readonly cascade?: boolean
    },
  ): Promise<void> {
    const isCascade = options.cascade === true
    await this.#removeAll(async (tx) => {
      const going = await deletable(tx, name, { isCascade })
      if (options.deleteRepo) for (const pipeline of going) await requireNoTags(tx, pipeline.name)
      return going
    }, options)
  }

  async deleteAll(options: {
    readonly deleteJobs: boolean
    readonly deleteRepo: boolean
  }): Promise<void> {
    await this.#removeAll(allPipelines, options, async (tx) => {
      await removeAllTrialRecords(tx)
      if (options.deleteJobs) await markAllJobsDeleted(tx)
    })
  }

  /**
   * What may be many rows goes in steps afterwards: jobs that wait are killed, and what goes with jobs
   * and repos is deleted.
   */
  async #removeAll(
    find: (tx: ReadTransaction) => Promise<readonly PipelineRecord[]>,
    options: { readonly deleteJobs: boolean; readonly deleteRepo: boolean },
    andThen: (tx: Transaction) => Promise<void> = async () => undefined,
  ): Promise<void> {
    const at = this.#clock.now()
    await this.#database.transact(
      async (tx) => {
        const inTrials = await allTrialPipelineNames(tx)
        let rowsLeft = deletedAtOnceMax
        // Those that read first, so that no output repo goes before them.
        for (const pipeline of (await find(tx)).toReversed()) {
          // A trial leaves nothing behind.
          const whole = inTrials.has(pipeline.name) && { deleteJobs: true, deleteRepo: true }
          rowsLeft -= await removeWhole(tx, pipeline, { ...options, ...whole, at, rowsLeft })
        }
        await andThen(tx)
      },
      { usesReserve: true },
    )
    await killNotedJobs(this.#database)
    await purgeDeletedJobs(this.#database)
  }

  async #info(tx: ReadTransaction, pipeline: PipelineRecord): Promise<PipelineInfo> {
    const rows = await tx.all<{ readonly state: string; readonly count: number }>(
      'SELECT state, COUNT(*) AS count FROM jobs WHERE pipeline_id = ? GROUP BY state',
      pipeline.pipelineId,
    )
    const jobCounts = new Map(rows.map(({ state, count }) => [parseJobState(state), count]))
    return { ...pipeline, jobCounts, ...this.#running(pipeline) }
  }

  #running(pipeline: PipelineRecord): Pick<PipelineInfo, 'notices' | 'runsIn'> {
    const runsIn = this.#workers.placeOf(workerTransform(pipeline.spec))
    return { notices: this.#notices(pipeline), runsIn }
  }

  #notices(pipeline: PipelineRecord): readonly string[] {
    return [...this.#workers.notices(workerTransform(pipeline.spec)), ...specNotices(pipeline)]
  }
}

/** Returns how many rows of commits went, of `rowsLeft` at most. */
async function removeWhole(
  tx: Transaction,
  pipeline: PipelineRecord,
  options: {
    readonly deleteJobs: boolean
    readonly deleteRepo: boolean
    readonly at: Instant
    readonly rowsLeft: number
  },
): Promise<number> {
  if (options.deleteJobs) await markJobsDeleted(tx, pipeline)
  else await killJobs(tx, pipeline.pipelineId, { reason: deletedReason(pipeline), at: options.at })
  await removePipeline(tx, pipeline, options.at)
  if (!options.deleteRepo || (await findRepo(tx, pipeline.name)) === undefined) return 0
  return await removeRepo(tx, pipeline.name, options.rowsLeft)
}

/**
 * The pipeline of that name; with `isCascade` also those that read what it writes, behind it.
 *
 * @throws {PipelineNotFoundError} @throws {FailedPreconditionError} for one that a trial needs.
 */
async function deletable(
  tx: ReadTransaction,
  name: string,
  { isCascade }: { readonly isCascade: boolean },
): Promise<readonly PipelineRecord[]> {
  const pipeline = await findPipeline(tx, name)
  if (pipeline === undefined) throw new PipelineNotFoundError(name)
  const going = isCascade ? await withReaders(tx, pipeline) : [pipeline]
  for (const one of going) {
    await refuseTrialPipeline(tx, one.name)
    await refuseTried(tx, one.name)
  }
  return going
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

/** For a request without any pipeline name. @throws {InvalidArgumentError} */
export function requirePipelineName(name: string | undefined): string {
  if (name === undefined || name === '') {
    throw new InvalidArgumentError('a pipeline name is needed, but none was given')
  }
  if (name.length <= nameLengthMax) return name
  throw new InvalidArgumentError(
    `a pipeline name of ${name.length} characters is too long: at most ${nameLengthMax} are allowed`,
  )
}
