import type { Instant } from '../../base/clock.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { parseSchedule } from '../cron/schedule.ts'
import type { RequestedCron, RequestedInput, RequestedSpec } from '../requested-specs.ts'

/** What has more is refused elsewhere. */
const inputCountMax = 10_000
const cronCountMax = 256
const microsPerMilli = 1000

/**
 * Checks the schedules of the cron inputs in a request: they make sense, and they will tick.
 *
 * @throws {InvalidArgumentError}
 */
export async function checkSchedules({ input }: RequestedSpec, now: Instant): Promise<void> {
  for (const cron of cronsOf(input)) {
    const schedule = await parseSchedule(cron.spec, cron.timeZone)
    const start = cron.start ?? now
    if (schedule.after(start) !== undefined) continue
    const after = new Date(start / microsPerMilli).toISOString()
    throw new InvalidArgumentError(
      `cron spec ${JSON.stringify(cron.spec)} never ticks after ${after}: there is no such day`,
    )
  }
}

function cronsOf(input: RequestedInput | undefined): readonly RequestedCron[] {
  const crons: RequestedCron[] = []
  const waiting = input === undefined ? [] : [input]
  for (let count = 0; count < inputCountMax && crons.length < cronCountMax; count += 1) {
    const next = waiting.pop()
    if (next === undefined) break
    const { cross = [], union = [], cron } = next
    if (cron !== undefined) crons.push(cron)
    waiting.push(...cross.slice(0, inputCountMax), ...union.slice(0, inputCountMax))
  }
  return crons
}
