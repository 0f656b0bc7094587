import type { Clock } from '../base/clock.ts'
import { FailedPreconditionError, NotFoundError } from '../base/errors.ts'
import type { JobId } from '../base/names.ts'
import type { Database } from '../database/database.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { ProllyMaps } from '../storage/prolly-map.ts'
import { resolveCommitId } from '../versioning/commit-records.ts'
import { decodeDatum, type DatumRecord } from './datum-sets.ts'
import { failuresAmong, findResult, findResults } from './datum-results.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import { shownMembers } from './discovery/group-members.ts'
import {
  getJob,
  jobTopic,
  removeJob,
  selectJobs,
  setJobState,
  type JobRecord,
  type ProcessStats,
} from './job-records.ts'
import { specOfVersion } from './pipeline-records.ts'
import type { PipelineSpec } from './specs.ts'
import { hasEnded } from './states.ts'

/** `starting`: waits or runs. `skipped`: another job's result was reused. */
export type DatumState = 'starting' | 'success' | 'skipped' | 'failed'

export interface DatumInfo {
  readonly job: JobId
  readonly key: DatumKey
  readonly members: readonly DatumMember[]
  readonly state: DatumState
  /** Of the run whose result this is; undefined while there is none. */
  readonly stats: ProcessStats | undefined
  /** Why it failed; else empty. */
  readonly reason: string
}

/** Datums whose results are looked up in one query. */
const lookupCountMax = 500

/** Runs of pipelines, and their datums. */
export class Jobs {
  readonly #database: Database
  readonly #maps: ProllyMaps
  readonly #trees: FileTrees
  readonly #clock: Clock

  constructor(ports: {
    readonly database: Database
    readonly maps: ProllyMaps
    readonly trees: FileTrees
    readonly clock: Clock
  }) {
    this.#database = ports.database
    this.#maps = ports.maps
    this.#trees = ports.trees
    this.#clock = ports.clock
  }

  /** @throws {JobNotFoundError} */
  async inspect(id: string): Promise<JobRecord> {
    return await this.#database.read((tx) => getJob(tx, id))
  }

  /** Waits until the job has ended. @throws {JobNotFoundError} also when it is deleted meanwhile. */
  async waitForEnd(id: string, signal: AbortSignal): Promise<JobRecord> {
    const events = this.#database.watch([jobTopic], { signal })
    let job = await this.inspect(id)
    if (hasEnded(job.state)) return job
    for await (const { subject } of events) {
      if (subject !== id) continue
      job = await this.inspect(id)
      if (hasEnded(job.state)) return job
    }
    signal.throwIfAborted()
    return job
  }

  /** The spec that the job runs; undefined when it is gone. */
  async specOf(job: JobRecord): Promise<PipelineSpec | undefined> {
    return (await this.specsOf([job]))(job)
  }

  /** The specs that several jobs run. */
  async specsOf(jobs: readonly JobRecord[]): Promise<(job: JobRecord) => PipelineSpec | undefined> {
    const specs = await this.#database.read(async (tx) => {
      const found = new Map<string, PipelineSpec | undefined>()
      for (const job of jobs) {
        if (found.has(specName(job))) continue
        found.set(specName(job), await specOfVersion(tx, job.pipelineId, job.pipelineVersion))
      }
      return found
    })
    return (job) => specs.get(specName(job))
  }

  /**
   * Newest first; of one pipeline, or of all; with `inputs`, commits named as in `resolveCommitId`,
   * only those that read all of them.
   */
  async list(
    pipeline?: string,
    inputs: readonly { readonly repo: string; readonly commit: string }[] = [],
  ): Promise<readonly JobRecord[]> {
    return await this.#database.read(async (tx) => {
      const wanted: string[] = []
      for (const { repo, commit } of inputs) wanted.push(await resolveCommitId(tx, repo, commit))
      const jobs =
        pipeline === undefined || pipeline === ''
          ? await selectJobs(tx, 'ORDER BY sequence DESC')
          : await selectJobs(tx, 'WHERE pipeline = ? ORDER BY sequence DESC', pipeline)
      return jobs.filter((job) =>
        wanted.every((id) => job.inputs.some((input) => String(input.commit) === id)),
      )
    })
  }

  /** Kills what runs of it; a job that has ended stays as it is. */
  async stop(id: string): Promise<void> {
    const at = this.#clock.now()
    await this.#database.transact(async (tx) => {
      const job = await getJob(tx, id)
      await setJobState(tx, job.id, { state: 'killed', reason: 'stopped by a user', at })
    })
  }

  /** Removes the job's record; its output commit stays. */
  async delete(id: string): Promise<void> {
    await this.#database.transact(
      async (tx) => {
        await removeJob(tx, (await getJob(tx, id)).id)
      },
      { usesReserve: true },
    )
  }

  /** The datums of a job in datum order; none before it has been planned. */
  async *datums(id: string): AsyncGenerator<DatumInfo> {
    const job = await this.inspect(id)
    if (job.datumSet === undefined) return
    let batch: DatumRecord[] = []
    for await (const { value } of this.#maps.scan(job.datumSet)) {
      batch.push(decodeDatum(value))
      if (batch.length < lookupCountMax) continue
      yield* await this.#describe(job, batch)
      batch = []
    }
    yield* await this.#describe(job, batch)
  }

  /** A group is shown as its files. @throws {NotFoundError} */
  async inspectDatum(id: string, datum: string): Promise<DatumInfo> {
    const job = await this.inspect(id)
    if (job.datumSet === undefined) {
      throw new FailedPreconditionError(`job ${id} has not been planned yet; try again in a moment`)
    }
    for await (const info of this.datums(id)) {
      if (info.key !== datum) continue
      const { result, spec } = await this.#database.read(async (tx) => ({
        result: await findResult(tx, datum),
        spec: await specOfVersion(tx, job.pipelineId, job.pipelineVersion),
      }))
      const members =
        spec === undefined
          ? info.members
          : await shownMembers(this.#trees, spec.input, info.members)
      const stats = info.state === 'failed' ? info.stats : result?.stats
      return { ...info, members, stats }
    }
    throw new NotFoundError(`datum ${datum} not found in job ${id}`)
  }

  async #describe(job: JobRecord, datums: readonly DatumRecord[]): Promise<readonly DatumInfo[]> {
    const keys = datums.map(({ key }) => key)
    const { failed, results } = await this.#database.read(async (tx) => ({
      failed: await failuresAmong(tx, job.id, keys),
      results: await findResults(tx, keys),
    }))
    return datums.map(({ key, members }) => {
      const common = { job: job.id, key, members }
      const failure = failed.get(key)
      if (failure !== undefined) {
        return { ...common, state: 'failed', stats: failure.stats, reason: failure.reason }
      }
      const result = results.get(key)
      if (result === undefined) {
        // Of a job that has succeeded, the result is gone because nothing can reuse it any more.
        const state = job.state === 'success' ? 'success' : 'starting'
        return { ...common, state, stats: undefined, reason: '' }
      }
      const state = result.job === job.id ? 'success' : 'skipped'
      return { ...common, state, stats: result.stats, reason: '' }
    })
  }
}

function specName(job: JobRecord): string {
  return `${job.pipelineId} ${job.pipelineVersion}`
}
