import type { Connection } from '../../database/sqlite/connection.ts'
import type { Limits } from '../../pipelines/specs/limits.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'

/** Slow code runs for so long, which is longer than any limit. */
export const slowMs = 400_000
const datumTimeoutMs = 20_000
const jobTimeoutMs = 200_000
/** Most of it is what the server does before and after user code runs. */
const tolerableMs = 20_000
/** Of a job that is cut off with its server, so much time is counted that has not passed. */
const notedAheadMs = 10_000
const usualTries = 4

/**
 * The limits of a pipeline: they follow from its code, so that a datum which has a result would come
 * to the same again.
 */
export function limitsOf(command: string): Limits {
  const [kind = '', mark = ''] = command.split(':')
  const number = Number(mark)
  const tries = [0, 1, 2, 3][number % 4] ?? 0
  return {
    // What works at the third try at the latest gets the usual four.
    ...(tries > 0 && kind !== 'flaky' && { datumTries: tries }),
    ...(number % 3 === 0 && { datumTimeoutMs }),
    ...(number % 5 === 0 && { jobTimeoutMs }),
  }
}

export interface CodeOf {
  readonly job: string
  readonly datum: string
  readonly command: string
}

interface Tries {
  readonly command: string
  /** Tries that code has failed by itself, or that were over the limit. */
  failureCount: number
  overrunCount: number
  /** Tries that were cut off for another reason, or with the server. */
  cutOffCount: number
  isRunning: boolean
}

interface JobTimes {
  readonly firstMs: number
  lastMs: number
  cutOffCount: number
}

/** How a run of user code ended: `cutOff` by whoever ran it. */
export type End = 'done' | 'failure' | 'cutOff'

/** What ran for how long, as user code itself sees it; outlives every process. */
export class LimitLaw {
  readonly #rows: Connection
  readonly #tries = new Map<string, Tries>()
  readonly #jobs = new Map<string, JobTimes>()

  constructor(rows: Connection) {
    this.#rows = rows
  }

  /** User code begins; call what is returned at its end, which tells of a limit that did not hold. */
  begin(code: CodeOf, atMs: number): (end: End, atMs: number) => string | undefined {
    const { job, datum, command } = code
    const tries = this.#triesOf(code)
    const times = this.#jobs.get(job) ?? { firstMs: atMs, lastMs: atMs, cutOffCount: 0 }
    this.#jobs.set(job, times)
    if (tries.isRunning) {
      tries.cutOffCount += 1
      times.cutOffCount += 1
    }
    tries.isRunning = true
    const limits = limitsOf(command)
    return (end, endMs) => {
      const ranMs = endMs - atMs
      tries.isRunning = false
      times.lastMs = endMs
      const isOver = ranMs >= (limits.datumTimeoutMs ?? Infinity)
      if (end === 'failure' || (end === 'cutOff' && isOver)) tries.failureCount += 1
      else if (end === 'cutOff') tries.cutOffCount += 1
      if (end === 'cutOff' && isOver) tries.overrunCount += 1
      if (end === 'cutOff') times.cutOffCount += 1
      const limitMs = Math.min(limits.datumTimeoutMs ?? Infinity, limits.jobTimeoutMs ?? Infinity)
      if (ranMs <= limitMs + tolerableMs) return undefined
      return `datum ${datum} of job ${job} ran for ${ranMs} ms, over the limit of ${limitMs} ms`
    }
  }

  /** What is wrong with the datums that failed, and with the jobs that were killed for their time. */
  check(): string | undefined {
    return this.#checkDatums() ?? this.#checkJobs()
  }

  #triesOf({ job, datum, command }: CodeOf): Tries {
    const name = `${job} ${datum}`
    const known = this.#tries.get(name)
    if (known?.command === command) return known
    const fresh = { command, failureCount: 0, overrunCount: 0, cutOffCount: 0, isRunning: false }
    // Another version of the pipeline has gone on with it.
    this.#tries.set(name, { ...fresh, cutOffCount: known === undefined ? 0 : 1 })
    return this.#tries.get(name) ?? fresh
  }

  #checkDatums(): string | undefined {
    const failures = this.#rows.all<{
      readonly job: string
      readonly datum: string
      readonly reason: string
      readonly restarts: number
    }>(
      `SELECT job, datum, f.reason, restart_count AS restarts FROM datum_failures AS f
        JOIN job_rows ON id = job WHERE stopped = 0`,
    )
    for (const { job, datum, reason, restarts } of failures) {
      const tries = this.#tries.get(`${job} ${datum}`)
      if (tries === undefined) continue
      const { failureCount: count, overrunCount, cutOffCount, command } = tries
      const name = `datum ${datum} of job ${job} failed (${reason})`
      const { datumTries = usualTries } = limitsOf(command)
      if (count + cutOffCount < datumTries) return `${name} after ${count} of ${datumTries} tries`
      // A job that was interrupted may try anew what it had not noted yet.
      const isOnce = cutOffCount === 0 && restarts === 0
      if (isOnce && count > datumTries) return `${name} after ${count} tries`
      if (reason.includes('datum_timeout') && overrunCount === 0) return `${name}, and was in time`
    }
    return undefined
  }

  #checkJobs(): string | undefined {
    const killed = this.#rows.all<{ readonly id: string; readonly spec: string }>(
      `SELECT j.id, spec FROM job_rows AS j JOIN pipeline_versions AS v
        ON v.pipeline_id = j.pipeline_id AND v.version = j.pipeline_version
        WHERE state = 'killed' AND reason LIKE '%job_timeout%'`,
    )
    for (const { id, spec } of killed) {
      // The cast: what the product has stored.
      const { egressUrl, jobTimeoutMs: limitMs } = JSON.parse(spec) as PipelineSpec
      if (limitMs === undefined) return `job ${id} was killed at a limit that it does not have`
      const times = this.#jobs.get(id)
      // Who exports runs on when user code is done.
      if (egressUrl !== undefined || times === undefined) continue
      const ranMs = times.lastMs - times.firstMs
      if (ranMs >= limitMs - tolerableMs - notedAheadMs * times.cutOffCount) continue
      return `job ${id} was killed at its limit of ${limitMs} ms after ${ranMs} ms`
    }
    return undefined
  }
}
