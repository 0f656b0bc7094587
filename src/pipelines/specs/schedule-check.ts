import type { Instant } from '../../base/clock.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { parsePipelineName } from '../../base/names.ts'
import { parseSchedule } from '../cron/schedule.ts'
import type { RequestedCron, RequestedInput, RequestedSpec } from '../requested-specs.ts'
import { refusedIn } from '../spec-refusals.ts'

/** What has more is refused elsewhere. */
const inputCountMax = 10_000
const cronCountMax = 256
const microsPerMilli = 1000
const nameShownMax = 100

/**
 * Checks the schedules of the cron inputs in a request: they make sense, and they will tick.
 *
 * @throws {InvalidArgumentError} with the names of pipeline and input, for a file may have many.
 */
export async function checkSchedules({ name, input }: RequestedSpec, now: Instant): Promise<void> {
  for (const clock of clocksOf(input)) {
    try {
      await requireTicks(clock, now)
    } catch (error) {
      throw refusedIn(() => `pipeline ${parsePipelineName(name ?? '')}: ${whereText(clock)}`, error)
    }
  }
}

async function requireTicks({ spec, timeZone, start }: Clock, now: Instant): Promise<void> {
  const schedule = await parseSchedule(spec, timeZone)
  const from = start ?? now
  if (schedule.after(from) !== undefined) return
  const after = new Date(from / microsPerMilli).toISOString()
  throw new InvalidArgumentError(
    `cron spec ${JSON.stringify(spec)} never ticks after ${after}: there is no such day`,
  )
}

interface Clock extends Pick<RequestedCron, 'spec' | 'timeZone' | 'start'> {
  readonly of: 'cron input' | 'trigger of input'
  /** Of the input, as it was sent. */
  readonly name: string
}

function whereText({ of, name }: Clock): string {
  return name === '' ? `a ${of}` : `${of} ${name.slice(0, nameShownMax)}`
}

/** Cron inputs, and the clocks of triggers. */
function clocksOf(input: RequestedInput | undefined): readonly Clock[] {
  const crons: Clock[] = []
  const waiting = input === undefined ? [] : [input]
  for (let count = 0; count < inputCountMax && crons.length < cronCountMax; count += 1) {
    const next = waiting.pop()
    if (next === undefined) break
    const { cross = [], union = [], join = [], group = [], cron, atom } = next
    const spec = atom?.trigger?.cronSpec ?? ''
    if (cron !== undefined) crons.push({ ...cron, of: 'cron input' })
    if (spec !== '') {
      const name = atom?.name || atom?.repo || ''
      crons.push({ spec, timeZone: '', start: undefined, of: 'trigger of input', name })
    }
    for (const members of [cross, union, join, group]) {
      waiting.push(...members.slice(0, inputCountMax))
    }
  }
  return crons
}
