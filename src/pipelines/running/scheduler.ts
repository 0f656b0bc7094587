import { CancelledError } from '../../base/errors.ts'
import type { JobId, PipelineName } from '../../base/names.ts'
import { pipelinesWithBacklog } from '../jobs/arrivals.ts'
import {
  carryJob,
  dueJobs,
  findJob,
  findOpenJob,
  type JobRecord,
  JobNotFoundError,
  jobTopic,
  setJobState,
  type DueJob,
} from '../job-records.ts'
import { failAllWithoutRepos, failIfRepoGone, failPipelinesWithout } from './lost-repos.ts'
import { runningPipelineNames, findPipeline, pipelineTopic } from '../pipeline-records.ts'
import { runJob } from './job-run.ts'
import { errorText, isOfUsers, isPassing } from './run-errors.ts'
import type { RunPorts } from './run-ports.ts'
import { endReplacedJobs } from './services.ts'
import { Spouts } from './spouts.ts'
import { whatIsGone } from './lost-data.ts'
import { WorkerPool } from './worker-pool.ts'
import { hasEnded } from '../states.ts'
import type { Triggers } from '../triggers.ts'
import { repoTopic } from '../../versioning/ports.ts'

/** A run of a job that ended in an error of ours is repeated so often, then the job fails. */
const runAttemptCountMax = 6
/** The pause before the second run; doubled each time. */
const runRetryPauseMs = 500

/** The pause after the watch for work has met an error. */
const watchRetryPauseMs = 1000
const microsPerMilli = 1000

interface ActiveRun {
  readonly job: JobId
  /** Of the pipeline: an update gives the job new code. */
  readonly version: number
  readonly stop: AbortController
  readonly ended: Promise<void>
}

/**
 * Runs the jobs of running pipelines: those of one pipeline one after the other, oldest first;
 * those of different pipelines side by side. All it knows is in the database, so that after a
 * restart it goes on where it was.
 */
export class Scheduler implements AsyncDisposable {
  readonly #ports: RunPorts & { readonly triggers: Triggers }
  readonly #pools = new Map<PipelineName, WorkerPool>()
  readonly #active = new Map<PipelineName, ActiveRun>()
  /** Pipelines whose backlog met an error, until they get another look. */
  readonly #heldUp = new Map<PipelineName, Promise<void>>()
  readonly #stop = new AbortController()
  #loop: Promise<void> = Promise.resolve()
  #matching: Promise<void> | undefined
  #matchAgain = false
  readonly #spouts: Spouts
  /** Aborted when the wait for the next run of a spout is over. */
  #spoutWait = new AbortController()

  constructor(ports: RunPorts & { readonly triggers: Triggers }) {
    this.#ports = ports
    this.#spouts = new Spouts(ports)
  }

  /** Starts what is ready now, and from then on whatever becomes ready. */
  start(): void {
    this.#loop = this.#watchUntilStopped()
  }

  /** Whatever is met, and be it that the event log was pruned: another look finds all there is. */
  async #watchUntilStopped(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#watch(signal)
      } catch (error) {
        if (signal.aborted) return
        this.#ports.log.error('the scheduler met an error and looks again', error)
        await this.#ports.clock.sleep(watchRetryPauseMs, signal).catch(() => undefined)
      }
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const events = this.#ports.database.watch([jobTopic, pipelineTopic, repoTopic], { signal })
    await this.#endWithoutData()
    await failAllWithoutRepos(this.#ports, signal)
    await this.#match()
    for await (const event of events) {
      // A run tells of its own progress; only what may start or stop a run is looked at.
      if (event.topic === jobTopic && !(await this.#concerns(event.subject))) continue
      if (event.topic === repoTopic) await this.#endWithout(event.subject)
      if (!signal.aborted) await this.#match()
    }
  }

  /** A repo was deleted: pipelines that read or write it fail as a whole, whatever they do now. */
  async #endWithout(repo: string): Promise<void> {
    await this.#endWithoutData()
    await failPipelinesWithout(this.#ports, repo, this.#stop.signal)
  }

  /** Ends the jobs that run and have lost what they read or write: user code need not go on. */
  async #endWithoutData(): Promise<void> {
    for (const { job } of this.#active.values()) {
      const at = this.#ports.clock.now()
      await this.#ports.database.transact(async (tx) => {
        const record = await findJob(tx, job)
        if (record === undefined || hasEnded(record.state)) return
        const reason = await whatIsGone(tx, record)
        if (reason !== undefined) await setJobState(tx, job, { state: 'failure', reason, at })
      })
    }
  }

  async #concerns(subject: string): Promise<boolean> {
    for (const { job } of this.#active.values()) {
      if (job !== subject) continue
      const record = await this.#ports.database.read((tx) => findJob(tx, subject))
      return record === undefined || hasEnded(record.state)
    }
    return true
  }

  /**
   * Brings the active runs in line with the database, and goes on until no pipeline has a backlog;
   * one look at a time. A call during a look has another follow and returns at once.
   */
  async #match(): Promise<void> {
    this.#matchAgain = true
    this.#matching ??= this.#matchUntilDone().finally(() => {
      this.#matching = undefined
    })
    await this.#matching
  }

  async #matchUntilDone(): Promise<void> {
    while (this.#matchAgain && !this.#stop.signal.aborted) {
      this.#matchAgain = false
      await this.#beginSpouts()
      await endReplacedJobs(this.#ports)
      await this.#matchOnce()
      if (await this.#workOffBacklogs()) this.#matchAgain = true
    }
  }

  /** Looks again when the next spout is due. */
  async #beginSpouts(): Promise<void> {
    this.#spoutWait.abort()
    const due = await this.#spouts.begin()
    if (due === undefined || this.#stop.signal.aborted) return
    const wait = new AbortController()
    this.#spoutWait = wait
    const { clock, log } = this.#ports
    const leftMs = Math.max(1, Math.ceil((due - clock.now()) / microsPerMilli))
    clock
      .sleep(leftMs, AbortSignal.any([wait.signal, this.#stop.signal]))
      .then(() => this.#match())
      .catch((error: unknown) => {
        if (!(error instanceof CancelledError)) log.error('a spout could not be begun', error)
      })
  }

  async #matchOnce(): Promise<void> {
    const { due, names } = await this.#ports.database.read(async (tx) => ({
      due: await dueJobs(tx),
      names: await runningPipelineNames(tx),
    }))
    for (const [pipeline, run] of this.#active) {
      const job = due.get(pipeline)
      if (job?.id !== run.job || job.pipelineVersion !== run.version) run.stop.abort()
    }
    for (const [pipeline, job] of due) {
      if (!this.#active.has(pipeline)) this.#begin(pipeline, job)
    }
    for (const [pipeline, pool] of this.#pools) {
      if (names.has(pipeline) || this.#active.has(pipeline)) continue
      this.#pools.delete(pipeline)
      await pool[Symbol.asyncDispose]()
    }
  }

  /**
   * Does a slice of each running pipeline's backlog; true when some have more. One that meets an
   * error does not hold up the others, and gets another look after a pause.
   */
  async #workOffBacklogs(): Promise<boolean> {
    const { database, log, triggers } = this.#ports
    const { signal } = this.#stop
    let isMore = false
    for (const name of await database.read(pipelinesWithBacklog)) {
      if (signal.aborted) return false
      if (this.#heldUp.has(name)) continue
      try {
        if (await database.transact((tx) => triggers.workOff(tx, name))) isMore = true
      } catch (error) {
        if (signal.aborted) return false
        log.error(`the backlog of pipeline ${name} met an error and gets another look`, error)
        this.#heldUp.set(name, this.#lookAgain(name))
      }
    }
    return isMore
  }

  async #lookAgain(name: PipelineName): Promise<void> {
    const { signal } = this.#stop
    await this.#ports.clock.sleep(watchRetryPauseMs, signal).catch(() => undefined)
    this.#heldUp.delete(name)
    if (signal.aborted) return
    await this.#match().catch((error: unknown) => {
      this.#ports.log.error('the scheduler met an error', error)
    })
  }

  #begin(pipeline: PipelineName, job: DueJob): void {
    const stop = new AbortController()
    const signal = AbortSignal.any([stop.signal, this.#stop.signal])
    const ended = this.#runToEnd(pipeline, job, signal)
    this.#active.set(pipeline, { job: job.id, version: job.pipelineVersion, stop, ended })
  }

  async #runToEnd(pipeline: PipelineName, job: DueJob, signal: AbortSignal): Promise<void> {
    const report = (error: unknown): void => {
      this.#ports.log.error(`job ${job.id} of pipeline ${pipeline} was given up for now`, error)
    }
    try {
      await this.#run(pipeline, job, signal)
      await this.#failWithoutRepos(job)
    } catch (error) {
      report(error)
      await this.#ports.clock.sleep(watchRetryPauseMs, signal).catch(() => undefined)
    }
    this.#active.delete(pipeline)
    if (!this.#stop.signal.aborted) await this.#match().catch(report)
  }

  async #run(pipeline: PipelineName, job: DueJob, signal: AbortSignal): Promise<void> {
    const pool = this.#pools.get(pipeline) ?? new WorkerPool(this.#ports)
    this.#pools.set(pipeline, pool)
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        const current = await this.#toRun(job)
        if (current === undefined) return
        pool.keepIdle(await this.#idleMsOf(pipeline))
        await runJob(this.#ports, pool, current, signal)
        return
      } catch (error) {
        if (signal.aborted || error instanceof JobNotFoundError) return
        // Ended by others while it ran: then what it needs may be gone, and nobody waits for it.
        if ((await this.#toRun(job)) === undefined) return
        await this.#afterError(job, error, attempt, signal)
      }
    }
  }

  /** How long the workers of a pipeline wait for work, where it says so. */
  async #idleMsOf(pipeline: PipelineName): Promise<number | undefined> {
    const found = await this.#ports.database.read((tx) => findPipeline(tx, pipeline))
    return found?.spec.scaleDownThresholdMs
  }

  /** Undefined when it has ended, or is gone. One that has waited meanwhile is what it is due as. */
  async #toRun(job: DueJob): Promise<JobRecord | undefined> {
    const { database } = this.#ports
    const found = await database.read((tx) => findOpenJob(tx, job.id))
    if (found === undefined || found.pipelineVersion === job.pipelineVersion) return found
    return await database.transact(async (tx) => {
      const { state } = (await findOpenJob(tx, job.id)) ?? {}
      const pipeline = await findPipeline(tx, job.pipeline)
      if (state === 'starting' && pipeline?.pipelineId === found.pipelineId) {
        const { version: pipelineVersion, spec } = pipeline
        await carryJob(tx, job.id, { pipelineVersion, outputBranch: spec.outputBranch })
      }
      return await findOpenJob(tx, job.id)
    })
  }

  /** A pipeline that lacks a repo fails as a whole, not one job after the other. */
  async #failWithoutRepos(job: DueJob): Promise<void> {
    const ended = await this.#ports.database.read((tx) => findJob(tx, job.id))
    if (ended?.state !== 'failure') return
    await failIfRepoGone(this.#ports, job.pipeline, this.#stop.signal)
  }

  /** Says in the job why it is held up, and waits before the next attempt; the last one fails it. */
  async #afterError(
    job: DueJob,
    error: unknown,
    attempt: number,
    signal: AbortSignal,
  ): Promise<void> {
    const final = attempt >= runAttemptCountMax || !isPassing(error)
    const text = errorText(error)
    if (!isOfUsers(error)) {
      this.#ports.log.error(`job ${job.id} of pipeline ${job.pipeline}, run ${attempt}`, error)
    }
    const at = this.#ports.clock.now()
    await this.#ports.database.transact(async (tx) => {
      if (final) await setJobState(tx, job.id, { state: 'failure', reason: text, at })
      else await tx.run('UPDATE job_rows SET reason = ? WHERE id = ?', `${text} (retrying)`, job.id)
    })
    if (final) return
    // An abort ends the wait; the loop above looks at the signal itself.
    await this.#ports.clock
      .sleep(runRetryPauseMs * 2 ** (attempt - 1), signal)
      .catch(() => undefined)
  }

  /** Interrupts what runs; it goes on after the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#loop
    await Promise.all(this.#heldUp.values())
    await this.#matching?.catch(() => undefined)
    await Promise.allSettled([...this.#active.values()].map(({ ended }) => ended))
    await Promise.all([...this.#pools.values()].map((pool) => pool[Symbol.asyncDispose]()))
  }
}
