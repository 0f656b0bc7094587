import type { Instant } from '../../base/clock.ts'
import { setJobState } from '../job-records.ts'
import type { RunPorts } from './run-ports.ts'
import type { JobPlan } from './plan.ts'
import { limitText, TimeLimit } from './time-limit.ts'

const microsPerMilli = 1000

/**
 * Kills the job when it has run longer than its pipeline allows, counted from its start, however
 * often it was interrupted; whoever runs it hears of it as of any job that is ended by others.
 * Undefined where there is no limit.
 */
export function jobDeadline(
  ports: RunPorts,
  { job, spec }: JobPlan,
  startedAt: Instant,
): TimeLimit | undefined {
  const { jobTimeoutMs } = spec
  if (jobTimeoutMs === undefined) return undefined
  const { clock, database, log } = ports
  const leftMs = jobTimeoutMs - (clock.now() - startedAt) / microsPerMilli
  const reason = `it ran longer than the job_timeout of ${limitText(jobTimeoutMs)}`
  const limit = new TimeLimit(clock, leftMs, async () => {
    const at = clock.now()
    await database.transact(async (tx) => {
      await setJobState(tx, job.id, { state: 'killed', reason, at })
    })
  })
  limit.done.catch((error: unknown) => {
    log.error(`job ${job.id} could not be ended at its job_timeout`, error)
  })
  return limit
}
