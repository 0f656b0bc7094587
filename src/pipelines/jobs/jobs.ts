import type { Clock } from '../../base/clock.ts'
import { assert, InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import type { Database } from '../../database/database.ts'
import { checkCommitNames, resolveCommitId } from '../../versioning/commit-records.ts'
import { type ActiveWorkers, whatRuns } from '../active-workers.ts'
import { hasFiles } from '../datums/datum-filters.ts'
import { findDatum, type DatumPorts } from '../datums/datum-places.ts'
import { decodeDatum, type DatumRecord } from '../datums/datum-sets.ts'
import { describeDatums, type DatumInfo } from '../datum-states.ts'
import { shownMembers } from '../discovery/group-members.ts'
import {
  getJob,
  jobPage,
  jobTopic,
  mayConcern,
  removeJob,
  setJobState,
  type JobRecord,
} from '../job-records.ts'
import type { JobSteps } from '../job-steps.ts'
import { specOfVersion } from '../pipeline-records.ts'
import type { PipelineSpec } from '../specs.ts'
import { hasEnded } from '../states.ts'
import { reasonsOf } from './open-job-reasons.ts'

/** Datums whose results are looked up in one query. */
const lookupCountMax = 500
/** Jobs that are read in one turn of the event loop. */
const pageCount = 200

/** Runs of pipelines, and their datums. */
export class Jobs {
  readonly #ports: DatumPorts
  readonly #database: Database
  readonly #clock: Clock
  readonly #active: Pick<ActiveWorkers, 'of'>
  readonly #steps: Pick<JobSteps, 'of'>

  constructor(
    ports: DatumPorts & {
      readonly clock: Clock
      readonly active: Pick<ActiveWorkers, 'of'>
      readonly steps: Pick<JobSteps, 'of'>
    },
  ) {
    this.#ports = ports
    this.#database = ports.database
    this.#clock = ports.clock
    this.#active = ports.active
    this.#steps = ports.steps
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
      if (!mayConcern(subject, job.id)) continue
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

  /** Why jobs are in their states, for people; empty where there is nothing to say. */
  async reasonsOf(jobs: readonly JobRecord[]): Promise<(job: JobRecord) => string> {
    const reasons = await this.#database.read((tx) => reasonsOf(tx, jobs, this.#steps))
    return ({ id, reason }) => reasons.get(id) ?? reason
  }

  /**
   * Newest first, in pages; of one pipeline, or of all; with `inputs`, commits named as in
   * `resolveCommitId`, only those that read all of them.
   */
  async *pages(
    pipeline = '',
    inputs: readonly { readonly repo: string; readonly commit: string }[] = [],
  ): AsyncGenerator<readonly JobRecord[]> {
    checkCommitNames(inputs.map(({ commit }) => commit))
    const wanted = await this.#database.read(async (tx) => {
      const ids = new Set<string>()
      for (const { repo, commit } of inputs) ids.add(await resolveCommitId(tx, repo, commit))
      return ids
    })
    let last: JobRecord | undefined
    do {
      const after = last
      const page = await this.#database.read((tx) =>
        jobPage(tx, { pipeline, after, countMax: pageCount }),
      )
      yield page.filter((job) => readsAll(job, wanted))
      last = page.length === pageCount ? page.at(-1) : undefined
    } while (last !== undefined)
  }

  /** As `pages`, all of them. */
  async list(...options: Parameters<Jobs['pages']>): Promise<readonly JobRecord[]> {
    return (await Array.fromAsync(this.pages(...options))).flat()
  }

  /** Kills what runs of it; a job that has ended stays as it is. */
  async stop(id: string): Promise<void> {
    const at = this.#clock.now()
    await this.#database.transact(
      async (tx) => {
        const job = await getJob(tx, id)
        const reason = `stopped by a user${whatRuns(this.#active, job)}`
        await setJobState(tx, job.id, { state: 'killed', reason, at })
      },
      // What fills the disk may be this job.
      { usesReserve: true },
    )
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

  /**
   * Ends the tries at those running datums that have each of `files` (as in `hasFiles`) among their
   * members: each counts as one failure of user code, so the datum is tried again unless that was
   * the last. Nothing is stored: a server that is killed runs all that ran anew.
   *
   * @throws {NotFoundError} when no running datum has them.
   */
  async restartDatum(id: string, files: readonly string[]): Promise<void> {
    const job = await this.inspect(id)
    if (files.length === 0 || files.includes('')) {
      throw new InvalidArgumentError(
        'restart-datum needs the paths or hashes of files of a datum; list-datum --raw shows them',
      )
    }
    const found = this.#active
      .of(job.id)
      .filter(({ queueSize, members }) => queueSize === 0 && hasFiles(members, files))
    if (found.length === 0) {
      const hint = hasEnded(job.state)
        ? 'the job has ended, and run-pipeline makes another'
        : 'inspect-job shows the datums that run'
      throw new NotFoundError(
        `datum matching filter [${files.join(' ')}] could not be found for jobID ${id}: ${hint}`,
      )
    }
    for (const activity of found) activity.restart()
  }

  /** The datums of a job in datum order; none before it has been planned. */
  async *datums(id: string): AsyncGenerator<DatumInfo> {
    const job = await this.inspect(id)
    if (job.datumSet === undefined) return
    let batch: DatumRecord[] = []
    for await (const { value } of this.#ports.maps.scan(job.datumSet)) {
      batch.push(decodeDatum(value))
      if (batch.length < lookupCountMax) continue
      yield* await this.#describe(job, batch)
      batch = []
    }
    yield* await this.#describe(job, batch)
  }

  /** A group is shown as its files. @throws {NotFoundError} for a datum that the job does not have. */
  async inspectDatum(id: string, datum: string): Promise<DatumInfo> {
    const job = await this.inspect(id)
    const place = await findDatum(this.#ports, job, datum)
    const [info] = await this.#describe(job, [place.datum])
    assert(info !== undefined, 'a datum that was found can be described')
    const spec = await this.#database.read((tx) =>
      specOfVersion(tx, job.pipelineId, job.pipelineVersion),
    )
    if (spec === undefined) return info
    return { ...info, members: await shownMembers(this.#ports.trees, spec.input, info.members) }
  }

  async #describe(job: JobRecord, datums: readonly DatumRecord[]): Promise<readonly DatumInfo[]> {
    return await this.#database.read((tx) => describeDatums(tx, job, datums))
  }
}

function readsAll({ inputs }: JobRecord, wanted: ReadonlySet<string>): boolean {
  return wanted.isSubsetOf(new Set<string>(inputs.map(({ commit }) => commit)))
}

function specName(job: JobRecord): string {
  return `${job.pipelineId} ${job.pipelineVersion}`
}
