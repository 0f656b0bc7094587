import type { Clock, Instant } from '../base/clock.ts'
import {
  AlreadyExistsError,
  FailedPreconditionError,
  InvalidArgumentError,
} from '../base/errors.ts'
import type { BranchName, PipelineName, RepoName } from '../base/names.ts'
import { newHexId, type Random } from '../base/random.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { BranchNotFoundError } from '../versioning/errors.ts'
import { findTrigger } from '../versioning/branch-triggers.ts'
import { findBranch } from '../versioning/branches.ts'
import type { OnHeadReady } from '../versioning/ports.ts'
import { removeRepo, findRepo, getRepo } from '../versioning/repos.ts'
import { noteHeads } from './jobs/history.ts'
import { atomsOf, branchesOf } from './inputs.ts'
import { markJobsDeleted, purgeDeletedJobs } from './deleted-jobs.ts'
import { killNotedJobs } from './killed-jobs.ts'
import { jobTopic } from './job-records.ts'
import { makeJobByHand } from './manual-jobs.ts'
import type { OutputExports } from './output-exports.ts'
import { PipelineChanges, placePipeline } from './specs/pipeline-changes.ts'
import {
  allPipelines,
  findPipeline,
  forgetPipeline,
  getPipeline,
  pipelineTopic,
  type PipelineRecord,
} from './pipeline-records.ts'
import type { RequestedSpec } from './requested-specs.ts'
import { SpecValidations } from './specs/spec-validations.ts'
import type { PipelineSpec } from './specs.ts'
import type { ServiceDoors } from './service-doors.ts'
import {
  allTrialPipelineNames,
  findTrial,
  getTrial,
  insertTrial,
  nameInTrial,
  parseTrialName,
  removeTrialRecord,
  trialPage,
  type TrialData,
  type TrialPipeline,
  type TrialRecord,
} from './trials/trial-records.ts'
import { branchText, reachedBy, runsSameCode, specInTrial } from './trials/trial-graph.ts'
import { mergeTrial } from './trials/trial-merge.ts'
import { obstacles, outcomesOf, strangers, type TrialOutcome } from './trials/trial-outcome.ts'
import type { Triggers } from './triggers.ts'
import { unendedStates } from './states.ts'

export type { TrialOutcome } from './trials/trial-outcome.ts'

/** Trials that are read in one turn of the event loop: each may have hundreds of pipelines. */
const pageCount = 1
/** Pipelines that one trial may have: all are made in one transaction, which others wait for. */
const pipelineCountMax = 500
/** Reasons that one error tells. */
const toldObstacleCountMax = 5

/** What to try, as a client asks for it. */
export interface NewTrial {
  readonly name: string
  /** Pipelines as they would be; those of new names are new. */
  readonly specs: readonly RequestedSpec[]
  /** Branches to read in place of others of the same repo. */
  readonly data: readonly {
    readonly repo: string
    readonly branch: string
    readonly other: string
  }[]
  /** Which results the pipelines of `specs` reuse. */
  readonly results: TrialResults
}

/**
 * `same-code`: those of the main line where the code is the same, none where it is another. `all`:
 * those of the main line whatever the code, as update-pipeline does; `none`: none.
 */
export type TrialResults = 'same-code' | 'all' | 'none'

export interface TrialInfo extends TrialRecord {
  /** In the order of `pipelines`. */
  readonly outcomes: readonly TrialOutcome[]
  /** Why it cannot be merged now, for people; none when it can. */
  readonly obstacles: readonly string[]
  /** Nothing of it runs, or will without a new commit or somebody's help. */
  readonly isSettled: boolean
}

/**
 * Changes of pipelines and data that are tried beside the main line: all that is downstream of a
 * change runs as pipelines of the trial, in repos of its own. They read whatever else the main line
 * reads, live, and share its results. Each change of a trial is one transaction.
 */
export class Trials {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #triggers: Triggers
  readonly #onHeadReady: OnHeadReady
  readonly #changes: PipelineChanges
  readonly #validations: SpecValidations

  constructor(ports: {
    readonly database: Database
    readonly clock: Clock
    readonly random: Random
    readonly triggers: Triggers
    readonly onHeadReady: OnHeadReady
    readonly exports: Pick<OutputExports, 'check'>
    readonly serviceDoors: Pick<ServiceDoors, 'ownPorts'>
  }) {
    this.#database = ports.database
    this.#clock = ports.clock
    this.#random = ports.random
    this.#triggers = ports.triggers
    this.#onHeadReady = ports.onHeadReady
    this.#changes = new PipelineChanges(ports)
    this.#validations = new SpecValidations({ ...ports, changes: this.#changes })
  }

  /**
   * Begins a trial: it runs over the heads of now, and then over each that comes.
   *
   * @throws {AlreadyExistsError}
   * @throws {InvalidArgumentError} for specs that cannot work, and where nothing would be tried.
   * @throws {NotFoundError} for a repo or branch of `data` that does not exist.
   */
  async create(request: NewTrial): Promise<TrialInfo> {
    const name = parseTrialName(request.name)
    if (request.specs.length === 0 && request.data.length === 0) {
      throw new InvalidArgumentError(
        `trial ${name} would change nothing: give it changed specs, data, or both`,
      )
    }
    for (const validation of await this.#validations.validate(request.specs)) {
      if (validation.kind === 'refused') throw validation.error
    }
    const createdAt = this.#clock.now()
    return await this.#database.transact(async (tx) => {
      if ((await findTrial(tx, name)) !== undefined) {
        throw new AlreadyExistsError(
          `trial ${name} already exists; delete-trial ${name} removes it`,
        )
      }
      const main = await mainLine(tx)
      const changed = await this.#changedSpecs(tx, request.specs, createdAt)
      const specs = new Map(main.entries().map(([key, { spec }]) => [key, spec]))
      for (const spec of changed.values()) specs.set(spec.name, spec)
      const data = await checkedData(tx, request.data, specs)
      const order = reachedBy(specs, new Set(changed.keys()), data)
      requireCount(name, order.length, data)
      const members = new Map(order.map((one) => [one, specs.get(one) ?? unknownMember(one)]))
      const pipelines = order.map((tries): TrialPipeline => ({
        pipeline: nameInTrial(tries, name),
        tries,
        basedOn: main.get(tries)?.version ?? 0,
        isChanged: changed.has(tries),
        spec: members.get(tries) ?? unknownMember(tries),
      }))
      const trial: TrialRecord = { name, createdAt, data, pipelines }
      await requireFree(tx, trial)
      await insertTrial(tx, trial)
      const made: PipelineRecord[] = []
      for (const one of pipelines) {
        await requireTicks(tx, one.spec)
        const spec = specInTrial(one.spec, name, { members, data })
        const record = this.#record(spec, one, main.get(one.tries), request.results, createdAt)
        await placePipeline(tx, this.#onHeadReady, record, createdAt)
        made.push(record)
      }
      for (const pipeline of made) {
        await noteHeads(tx, pipeline)
        await this.#triggers.workOff(tx, pipeline.name)
      }
      return await infoOf(tx, trial)
    })
  }

  /** @throws {TrialNotFoundError} */
  async inspect(name: string): Promise<TrialInfo> {
    return await this.#database.read(async (tx) => infoOf(tx, await getTrial(tx, name)))
  }

  /** As `inspect`, once nothing of the trial runs any more. @throws {TrialNotFoundError} */
  async settled(name: string, signal: AbortSignal): Promise<TrialInfo> {
    const events = this.#database.watch([jobTopic, pipelineTopic], { signal })
    let info = await this.inspect(name)
    if (info.isSettled) return info
    for await (const _ of events) {
      if (await this.#database.read((tx) => hasOpenJob(tx, name))) continue
      info = await this.inspect(name)
      if (info.isSettled) break
    }
    signal.throwIfAborted()
    return info
  }

  /** By name, in pages: whatever is there all the while is told once. */
  async *pages(): AsyncGenerator<readonly TrialInfo[]> {
    for (let last = ''; ;) {
      const after = last
      const page = await this.#database.read(async (tx) => {
        const infos: TrialInfo[] = []
        for (const trial of await trialPage(tx, after, pageCount)) {
          infos.push(await infoOf(tx, trial))
        }
        return infos
      })
      if (page.length > 0) yield page
      last = page.at(-1)?.name ?? last
      if (page.length < pageCount) return
    }
  }

  /**
   * Makes what the trial has changed, and what came of it, that of the main line. Returns what was
   * merged.
   *
   * @throws {TrialNotFoundError}
   * @throws {FailedPreconditionError} while there are obstacles, which it names.
   */
  async merge(name: string): Promise<TrialInfo> {
    const now = this.#clock.now()
    const merged = await this.#database.transact(async (tx) => {
      const trial = await getTrial(tx, name)
      const info = await infoOf(tx, trial)
      requireNone(`trial ${name} cannot be merged`, info.obstacles)
      const ports = { changes: this.#changes, onHeadReady: this.#onHeadReady, now }
      await mergeTrial(tx, ports, trial)
      await this.#export(tx, info.outcomes)
      return info
    })
    await killNotedJobs(this.#database)
    return merged
  }

  /**
   * Deletes the trial with its pipelines, jobs, results and outputs. Branches that it read stay.
   *
   * @throws {TrialNotFoundError}
   * @throws {FailedPreconditionError} when something else is made from its outputs.
   */
  async delete(name: string): Promise<void> {
    await this.#database.transact(
      async (tx) => {
        const trial = await getTrial(tx, name)
        for (const { pipeline } of trial.pipelines) {
          requireNone(`trial ${name} cannot be deleted`, await strangers(tx, trial, pipeline))
        }
        for (const { pipeline } of trial.pipelines.toReversed()) await removeMember(tx, pipeline)
        await removeTrialRecord(tx, trial.name)
      },
      { usesReserve: true },
    )
    await purgeDeletedJobs(this.#database)
  }

  /** Has what a trial wrote go where the outputs of the main line are exported to. */
  async #export(tx: Transaction, outcomes: readonly TrialOutcome[]): Promise<void> {
    const ports = { clock: this.#clock, random: this.#random }
    for (const { pipeline, trialHead } of outcomes) {
      if (pipeline.spec.egressUrl === undefined || trialHead === undefined) continue
      const merged = await getPipeline(tx, pipeline.tries)
      try {
        // It has nothing to compute.
        await makeJobByHand(tx, ports, merged, [])
      } catch (error) {
        // Paused, or an input is about to change: the next job exports.
        if (!(error instanceof FailedPreconditionError)) throw error
      }
    }
  }

  async #changedSpecs(
    tx: Transaction,
    requests: readonly RequestedSpec[],
    now: Instant,
  ): Promise<ReadonlyMap<PipelineName, PipelineSpec>> {
    const changed = new Map<PipelineName, PipelineSpec>()
    for (const request of requests) {
      const spec = await this.#changes.check(tx, request, now)
      if (spec.spout === true) {
        throw new InvalidArgumentError(
          `pipeline ${spec.name} is a spout, which cannot be tried, for its code commits where it likes: put what it would write on a branch of its repo, and try that as data`,
        )
      }
      if (spec.service !== undefined) {
        throw new InvalidArgumentError(
          `pipeline ${spec.name} is a service, which cannot be tried: give a service of another name ` +
            'and port, that reads what the trial writes, to create-pipeline',
        )
      }
      if (changed.has(spec.name)) {
        throw new InvalidArgumentError(`there are two specs of pipeline ${spec.name}: give one`)
      }
      changed.set(spec.name, spec)
    }
    return changed
  }

  #record(
    spec: PipelineSpec,
    { isChanged, spec: merged }: TrialPipeline,
    tried: PipelineRecord | undefined,
    results: TrialResults,
    createdAt: Instant,
  ): PipelineRecord {
    const pipelineId = newHexId(this.#random)
    const reuses =
      tried !== undefined &&
      (!isChanged ||
        results === 'all' ||
        (results === 'same-code' && runsSameCode(tried.spec, merged)))
    return {
      name: spec.name,
      pipelineId,
      lineageId: tried?.lineageId ?? pipelineId,
      version: 1,
      salt: reuses ? tried.salt : newHexId(this.#random),
      state: 'running',
      recentError: '',
      createdAt,
      spec,
    }
  }
}

/** The pipelines of no trial. */
async function mainLine(tx: ReadTransaction): Promise<ReadonlyMap<PipelineName, PipelineRecord>> {
  const inTrials = await allTrialPipelineNames(tx)
  const pipelines = await allPipelines(tx)
  return new Map(pipelines.filter(({ name }) => !inTrials.has(name)).map((one) => [one.name, one]))
}

async function checkedData(
  tx: ReadTransaction,
  requested: NewTrial['data'],
  specs: ReadonlyMap<PipelineName, PipelineSpec>,
): Promise<readonly TrialData[]> {
  const data: TrialData[] = []
  for (const { repo: name, branch, other } of requested) {
    const repo = (await getRepo(tx, name)).name
    const replaced = branchText(repo, branch as BranchName)
    if (branch === other) throw new InvalidArgumentError(`${replaced} is to be read as itself`)
    const theirs = await findBranch(tx, repo, other)
    if (theirs === undefined) throw new BranchNotFoundError(repo, other)
    const writer = specs.get(repo as string as PipelineName)
    if (writer?.outputBranch === branch) {
      throw new InvalidArgumentError(
        `${replaced} is written by pipeline ${writer.name}: try a changed spec of it, or other data that it reads`,
      )
    }
    if (data.some((one) => one.repo === repo && String(one.branch) === branch)) {
      throw new InvalidArgumentError(`two branches are to be read as ${replaced}: give one`)
    }
    const isRead = [...specs.values()].some(({ input }) =>
      branchesOf(input).some((atom) => atom.repo === repo && String(atom.branch) === branch),
    )
    if (!isRead) throw new InvalidArgumentError(`no pipeline reads ${replaced}`)
    data.push({ repo, branch: branch as BranchName, other: theirs.name })
  }
  return data
}

function requireCount(name: string, count: number, data: readonly TrialData[]): void {
  if (count === 0) {
    const branches = data.map(({ repo, branch }) => branchText(repo, branch)).join(', ')
    throw new InvalidArgumentError(`trial ${name} would run nothing: no pipeline reads ${branches}`)
  }
  if (count <= pipelineCountMax) return
  throw new InvalidArgumentError(
    `trial ${name} would have ${count} pipelines, and at most ${pipelineCountMax} are allowed: try something further downstream`,
  )
}

/** @throws {AlreadyExistsError} when somebody has given a name that the trial needs. */
async function requireFree(tx: ReadTransaction, { name, pipelines }: TrialRecord): Promise<void> {
  for (const { pipeline } of pipelines) {
    const isTaken =
      (await findPipeline(tx, pipeline)) !== undefined ||
      (await findRepo(tx, pipeline)) !== undefined
    if (!isTaken) continue
    throw new AlreadyExistsError(
      `the trial needs the name ${pipeline}, which a repo or pipeline has already: give it another name than ${name}`,
    )
  }
}

/** In a trial no clock ticks and no trigger moves a branch: a pipeline reads those of the main line. */
async function requireTicks(tx: ReadTransaction, spec: PipelineSpec): Promise<void> {
  for (const { name, repo, branch, cron, trigger } of atomsOf(spec.input)) {
    if (trigger !== undefined && (await findTrigger(tx, repo, branch)) === undefined) {
      throw new FailedPreconditionError(
        `input ${name} of pipeline ${spec.name} has a trigger that the main line does not have yet: update the pipeline with it first, or try the change without it`,
      )
    }
    if (cron === undefined || (await findRepo(tx, repo)) !== undefined) continue
    throw new FailedPreconditionError(
      `cron input ${name} of pipeline ${spec.name} has no repo ${repo} yet, and in a trial no clock ticks: create the repo, and put a file "time" with a time into it, such as "2026-01-01T00:00:00Z"`,
    )
  }
}

/** What is seen at once of a trial that is not settled: there are many events while it runs. */
async function hasOpenJob(tx: ReadTransaction, trial: string): Promise<boolean> {
  const job = await tx.get(
    `SELECT jobs.id FROM trial_pipelines t JOIN pipelines p ON p.name = t.pipeline
      JOIN jobs ON jobs.pipeline_id = p.id
      WHERE t.trial = ? AND jobs.state IN ${unendedStates} LIMIT 1`,
    trial,
  )
  return job !== undefined
}

async function infoOf(tx: ReadTransaction, trial: TrialRecord): Promise<TrialInfo> {
  const outcomes = await outcomesOf(tx, trial)
  const isSettled = !outcomes.some(({ state }) => state === 'running')
  return { ...trial, outcomes, obstacles: await obstacles(tx, trial, outcomes), isSettled }
}

function requireNone(what: string, reasons: readonly string[]): void {
  if (reasons.length === 0) return
  const told = reasons.slice(0, toldObstacleCountMax).join('; ')
  const moreCount = reasons.length - toldObstacleCountMax
  const more = moreCount > 0 ? `; and ${moreCount} more, which inspect-trial shows` : ''
  throw new FailedPreconditionError(`${what}: ${told}${more}`)
}

async function removeMember(tx: Transaction, name: PipelineName): Promise<void> {
  const pipeline = await findPipeline(tx, name)
  if (pipeline !== undefined) {
    await markJobsDeleted(tx, pipeline)
    await forgetPipeline(tx, pipeline)
  }
  const repo = name as string as RepoName
  if ((await findRepo(tx, repo)) !== undefined) await removeRepo(tx, repo)
}

function unknownMember(name: PipelineName): never {
  throw new Error(`invariant broken: pipeline ${name} is reached and has no spec`)
}
