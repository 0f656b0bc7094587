import type { Clock } from '../base/clock.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import type { OnHeadReady } from '../versioning/ports.ts'
import { deleteRepo, findRepo } from '../versioning/repos.ts'
import type { DatumWorkers } from './datum-worker.ts'
import { killJobs, removeJob, removeJobs, selectJobs } from './job-records.ts'
import { PipelineChanges } from './pipeline-changes.ts'
import {
  allPipelines,
  findPipeline,
  getPipeline,
  PipelineNotFoundError,
  removePipeline,
  setPipelineState,
  type PipelineRecord,
} from './pipeline-records.ts'
import type { RequestedSpec } from './requested-specs.ts'
import { specNotices } from './specs/notices.ts'
import { checkSchedules } from './specs/schedule-check.ts'
import { SpecValidations, type SpecValidation } from './spec-validations.ts'
import { parseJobState, type JobState } from './states.ts'
import type { Triggers } from './triggers.ts'

export interface PipelineInfo extends PipelineRecord {
  readonly jobCounts: ReadonlyMap<JobState, number>
  /** One-line notices for people about how this server runs it; often none. */
  readonly notices: readonly string[]
}

/** Standing computations. Each change is one transaction: it happens whole or not at all. */
export class Pipelines {
  readonly #database: Database
  readonly #clock: Clock
  readonly #triggers: Triggers
  readonly #changes: PipelineChanges
  readonly #validations: SpecValidations
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
  }

  /**
   * Replaces the spec. Results are kept and reused, even where the code has changed, unless
   * `reprocess`. Jobs that have not ended go on with the new code when they read the same
   * branches, else they are stopped. The old output stays reachable as `<branch>-v<version>`.
   *
   * @throws {PipelineNotFoundError}
   */
  async update(request: RequestedSpec, options: { readonly reprocess: boolean }): Promise<void> {
    const now = this.#clock.now()
    await checkSchedules(request, now)
    await this.#database.transact(async (tx) => {
      const pipeline = await this.#changes.update(tx, request, { ...options, now })
      await this.#triggers.beginWith(tx, pipeline)
    })
  }

  /** What would become of specs; see `SpecValidations`. */
  async validate(requests: readonly RequestedSpec[]): Promise<readonly SpecValidation[]> {
    return await this.#validations.validate(requests)
  }

  /** A pipeline that is not stored, as `inspect` would show it. */
  preview(pipeline: PipelineRecord): PipelineInfo {
    return { ...pipeline, jobCounts: new Map(), notices: this.#notices(pipeline) }
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

  /** Jobs that have not ended are stopped; the output repo stays unless asked. */
  async delete(
    name: string,
    options: { readonly deleteJobs: boolean; readonly deleteRepo: boolean },
  ): Promise<void> {
    const at = this.#clock.now()
    await this.#database.transact(
      async (tx) => {
        const pipeline = await findPipeline(tx, name)
        if (pipeline === undefined) throw new PipelineNotFoundError(name)
        await this.#remove(tx, pipeline, { ...options, at })
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

  async #info(tx: ReadTransaction, pipeline: PipelineRecord): Promise<PipelineInfo> {
    const rows = await tx.all<{ readonly state: string; readonly count: number }>(
      'SELECT state, COUNT(*) AS count FROM jobs WHERE pipeline_id = ? GROUP BY state',
      pipeline.pipelineId,
    )
    const jobCounts = new Map(rows.map(({ state, count }) => [parseJobState(state), count]))
    return { ...pipeline, jobCounts, notices: this.#notices(pipeline) }
  }

  #notices({ spec }: PipelineRecord): readonly string[] {
    return [...this.#workers.notices(spec.transform), ...specNotices(spec)]
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

/** For a request without any pipeline name. @throws {InvalidArgumentError} */
export function requirePipelineName(name: string | undefined): string {
  if (name !== undefined && name !== '') return name
  throw new InvalidArgumentError('a pipeline name is needed, but none was given')
}
