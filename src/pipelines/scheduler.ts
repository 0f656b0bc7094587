import { CancelledError, DomainError } from '../base/errors.ts'
import type { JobId, PipelineName } from '../base/names.ts'
import { findJob, jobTopic, selectJobs, setJobState, type JobRecord } from './job-records.ts'
import { pipelineTopic } from './pipeline-records.ts'
import { runJob } from './running/job-run.ts'
import type { RunPorts } from './run-ports.ts'
import { WorkerPool } from './running/worker-pool.ts'
import { hasEnded } from './states.ts'

/** A run of a job that ended in an error of ours is repeated so often, then the job fails. */
const runAttemptCountMax = 6
/** The pause before the second run; doubled each time. */
const runRetryPauseMs = 500

/** The pause after the watch for work has met an error. */
const watchRetryPauseMs = 1000

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
  readonly #ports: RunPorts
  readonly #pools = new Map<PipelineName, WorkerPool>()
  readonly #active = new Map<PipelineName, ActiveRun>()
  readonly #stop = new AbortController()
  #loop: Promise<void> = Promise.resolve()
  #matching = false
  #matchAgain = false

  constructor(ports: RunPorts) {
    this.#ports = ports
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
    const events = this.#ports.database.watch([jobTopic, pipelineTopic], { signal })
    await this.#match()
    for await (const event of events) {
      // A run tells of its own progress; only what may start or stop a run is looked at.
      if (event.topic === jobTopic && !(await this.#concerns(event.subject))) continue
      if (!signal.aborted) await this.#match()
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

  /** Brings the active runs in line with the database; one look at a time. */
  async #match(): Promise<void> {
    this.#matchAgain = true
    if (this.#matching) return
    this.#matching = true
    try {
      while (this.#matchAgain && !this.#stop.signal.aborted) {
        this.#matchAgain = false
        await this.#matchOnce()
      }
    } finally {
      this.#matching = false
    }
  }

  async #matchOnce(): Promise<void> {
    const due = await this.#dueJobs()
    for (const [pipeline, run] of this.#active) {
      const job = due.get(pipeline)
      if (job?.id !== run.job || job.pipelineVersion !== run.version) run.stop.abort()
    }
    for (const [pipeline, job] of due) {
      if (!this.#active.has(pipeline)) this.#begin(pipeline, job)
    }
  }

  /** The oldest job that has not ended of each running pipeline. */
  async #dueJobs(): Promise<ReadonlyMap<PipelineName, JobRecord>> {
    const jobs = await this.#ports.database.read((tx) =>
      selectJobs(
        tx,
        `WHERE sequence IN (SELECT MIN(j.sequence) FROM jobs j
            JOIN pipelines p ON p.id = j.pipeline_id AND p.state = 'running'
            WHERE j.state IN ('starting', 'running') GROUP BY j.pipeline_id)
          ORDER BY sequence`,
      ),
    )
    return new Map(jobs.map((job) => [job.pipeline, job]))
  }

  #begin(pipeline: PipelineName, job: JobRecord): void {
    const stop = new AbortController()
    const signal = AbortSignal.any([stop.signal, this.#stop.signal])
    const ended = this.#runToEnd(pipeline, job, signal)
    this.#active.set(pipeline, { job: job.id, version: job.pipelineVersion, stop, ended })
  }

  async #runToEnd(pipeline: PipelineName, job: JobRecord, signal: AbortSignal): Promise<void> {
    const report = (error: unknown): void => {
      this.#ports.log.error(`job ${job.id} of pipeline ${pipeline} was given up for now`, error)
    }
    try {
      await this.#run(pipeline, job, signal)
    } catch (error) {
      report(error)
      await this.#ports.clock.sleep(watchRetryPauseMs, signal).catch(() => undefined)
    }
    this.#active.delete(pipeline)
    if (!this.#stop.signal.aborted) await this.#match().catch(report)
  }

  async #run(pipeline: PipelineName, job: JobRecord, signal: AbortSignal): Promise<void> {
    const pool = this.#pools.get(pipeline) ?? new WorkerPool(this.#ports)
    this.#pools.set(pipeline, pool)
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        const current = await this.#ports.database.read((tx) => findJob(tx, job.id))
        if (current === undefined || hasEnded(current.state)) return
        await runJob(this.#ports, pool, current, signal)
        return
      } catch (error) {
        if (signal.aborted || error instanceof CancelledError) return
        await this.#afterError(job, error, attempt, signal)
      }
    }
  }

  /** Says in the job why it is held up, and waits before the next attempt; the last one fails it. */
  async #afterError(
    job: JobRecord,
    error: unknown,
    attempt: number,
    signal: AbortSignal,
  ): Promise<void> {
    const final = attempt >= runAttemptCountMax || !isPassing(error)
    const text = error instanceof DomainError ? error.message : 'internal error; see the server log'
    this.#ports.log.error(`job ${job.id} of pipeline ${job.pipeline}, run ${attempt}`, error)
    const at = this.#ports.clock.now()
    await this.#ports.database.transact(async (tx) => {
      if (final) await setJobState(tx, job.id, { state: 'failure', reason: text, at })
      else await tx.run('UPDATE jobs SET reason = ? WHERE id = ?', `${text} (retrying)`, job.id)
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
    await Promise.allSettled([...this.#active.values()].map(({ ended }) => ended))
    await Promise.all([...this.#pools.values()].map((pool) => pool[Symbol.asyncDispose]()))
  }
}

/** Whether trying again may help. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof DomainError)) return true
  return error.kind === 'unavailable' || error.kind === 'resource-exhausted'
}
