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
  for (const cron of clocksOf(input)) {
    const schedule = await parseSchedule(cron.spec, cron.timeZone)
    const start = cron.start ?? now
    if (schedule.after(start) !== undefined) continue
    const after = new Date(start / microsPerMilli).toISOString()
    throw new InvalidArgumentError(
      `cron spec ${JSON.stringify(cron.spec)} never ticks after ${after}: there is no such day`,
    )
  }
}

type Clock = Pick<RequestedCron, 'spec' | 'timeZone' | 'start'>

/** Cron inputs, and the clocks of triggers. */
function clocksOf(input: RequestedInput | undefined): readonly Clock[] {
  const crons: Clock[] = []
  const waiting = input === undefined ? [] : [input]
  for (let count = 0; count < inputCountMax && crons.length < cronCountMax; count += 1) {
    const next = waiting.pop()
    if (next === undefined) break
    const { cross = [], union = [], join = [], group = [], cron, atom } = next
    const spec = atom?.trigger?.cronSpec ?? ''
    if (cron !== undefined) crons.push(cron)
    if (spec !== '') crons.push({ spec, timeZone: '', start: undefined })
    for (const members of [cross, union, join, group]) {
      waiting.push(...members.slice(0, inputCountMax))
    }
  }
  return crons
}
