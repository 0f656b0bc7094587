import type { Instant } from '../../base/clock.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { goDurationNanos } from '../../base/go-durations.ts'

const microsPerMilli = 1000
const microsPerSecond = 1_000_000
const nanosPerSecond = 1_000_000_000
const timeZoneLengthMax = 64
const specLengthMax = 1000
/** In front of a spec that crontab(5) reads. */
const crontabMark = '@crontab'

/** Times at which a clock ticks, each a whole second. */
export interface Schedule {
  /** The first tick after `time`; undefined when there is none. */
  after(time: Instant): Instant | undefined
  /** The last tick after `time` that is not after `end`; undefined when there is none. */
  lastWithin(time: Instant, end: Instant): Instant | undefined
}

const descriptors: Readonly<Record<string, string>> = {
  '@yearly': '0 0 0 1 1 *',
  '@annually': '0 0 0 1 1 *',
  '@monthly': '0 0 0 1 * *',
  '@weekly': '0 0 0 * * 0',
  '@daily': '0 0 0 * * *',
  '@midnight': '0 0 0 * * *',
  '@hourly': '0 0 * * * *',
}

/**
 * When a cron input ticks. The rule:
 *
 * | spec                | is read as                                                  |
 * |---------------------|-------------------------------------------------------------|
 * | six fields          | second, minute, hour, day of month, month, day of week       |
 * | five fields         | the same without the day of week, as in 1.5                  |
 * | `@crontab` and five | minute, hour, day of month, month, day of week, as crontab(5) |
 * | `@daily` and others | as in 1.5                                                    |
 * | `@every 1h30m`      | so long after the tick before, or after the start            |
 *
 * A day must fit both of its fields when one of them begins with `*`, else one of them. Fields are
 * read in `timeZone`, UTC when it is empty.
 *
 * @throws {InvalidArgumentError}
 */
export async function parseSchedule(spec: string, timeZone: string): Promise<Schedule> {
  if (spec.length > specLengthMax) {
    throw new InvalidArgumentError(
      `cron spec of ${spec.length} characters is too long: at most ${specLengthMax} are allowed`,
    )
  }
  const zone = checkTimeZone(timeZone)
  const words = spec.trim().split(/\s+/)
  const [first = ''] = words
  if (first === '@every') return everySchedule(spec, words)
  return await fieldSchedule(spec, fieldsOf(spec, words), zone)
}

/** Whether a spec is of five fields that begin with seconds, which surprises people. */
export function isAmbiguous(spec: string): boolean {
  return spec.trim().split(/\s+/).length === 5 && !spec.trim().startsWith('@')
}

function checkTimeZone(timeZone: string): string {
  if (timeZone === '') return 'UTC'
  try {
    if (timeZone.length > timeZoneLengthMax) throw new RangeError('it is too long')
    return new Intl.DateTimeFormat('en', { timeZone }).resolvedOptions().timeZone
  } catch (cause) {
    throw new InvalidArgumentError(
      `time_zone ${JSON.stringify(timeZone.slice(0, timeZoneLengthMax))} is not known: write its IANA name, such as "Europe/Berlin"`,
      { cause },
    )
  }
}

/** Six fields, seconds first. */
function fieldsOf(spec: string, words: readonly string[]): readonly string[] {
  const [first = ''] = words
  if (first === crontabMark) {
    const fields = words.slice(1)
    if (fields.length === 5) return ['0', ...fields]
    throw new InvalidArgumentError(
      `Expected 5 fields after ${crontabMark} (minute, hour, day of month, month, day of week), found ${fields.length}: ${spec}`,
    )
  }
  if (first.startsWith('@')) {
    const descriptor = Object.hasOwn(descriptors, spec.trim())
      ? descriptors[spec.trim()]
      : undefined
    if (descriptor !== undefined) return descriptor.split(' ')
    const known = [...Object.keys(descriptors), '@every 1h30m', `${crontabMark} 0 9 * * MON-FRI`]
    throw new InvalidArgumentError(
      `Unrecognized descriptor: ${spec}; there are ${known.join(', ')}`,
    )
  }
  if (words.length === 6) return words
  if (words.length === 5) return [...words, '*']
  const count = spec.trim() === '' ? 0 : words.length
  throw new InvalidArgumentError(`Expected 5 to 6 fields, found ${count}: ${spec}`)
}

async function fieldSchedule(
  spec: string,
  fields: readonly string[],
  timezone: string,
): Promise<Schedule> {
  const { Cron } = await import('croner')
  const [, , , dayOfMonth = '', , dayOfWeek = ''] = fields
  try {
    const cron = new Cron(fields.join(' '), {
      timezone,
      mode: '6-part',
      paused: true,
      sloppyRanges: true,
      fixedTimeRule: 'no-wildcard',
      domAndDow: [dayOfMonth, dayOfWeek].some((field) => /^[*?]/.test(field)),
    })
    return {
      after: (time) => instantOf(cron.nextRun(dateOf(time))),
      lastWithin(time, end) {
        // Runs are told that are before a time, and one that falls on `end` counts.
        const [last] = cron.previousRuns(1, dateOf(wholeSecond(end) + microsPerSecond))
        const tick = instantOf(last)
        return tick !== undefined && tick > time ? tick : undefined
      },
    }
  } catch (cause) {
    throw new InvalidArgumentError(
      `cron spec ${JSON.stringify(spec)} makes no sense: ${reasonOf(cause)}`,
      { cause },
    )
  }
}

/** In words of ours where the library counts days and months from 0. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error)
  const field = /^Invalid value for (\w+):/.exec(text)?.[1]
  return field === undefined ? text : `a value for the ${field} is out of range`
}

function everySchedule(spec: string, words: readonly string[]): Schedule {
  const nanos = words.length === 2 ? goDurationNanos(words[1] ?? '') : undefined
  if (nanos === undefined || nanos < 0n) {
    throw new InvalidArgumentError(
      `Failed to parse duration ${spec}: write a duration behind @every, such as "@every 1h30m"`,
    )
  }
  const seconds = Math.max(1, Math.floor(Number(nanos) / nanosPerSecond))
  const period = seconds * microsPerSecond
  return {
    after: (time) => wholeSecond(time) + period,
    lastWithin(time, end) {
      const count = Math.floor((end - wholeSecond(time)) / period)
      return count < 1 ? undefined : wholeSecond(time) + count * period
    },
  }
}

function wholeSecond(time: Instant): Instant {
  return Math.floor(time / microsPerSecond) * microsPerSecond
}

function dateOf(time: Instant): Date {
  return new Date(Math.floor(time / microsPerMilli))
}

function instantOf(date: Date | null | undefined): Instant | undefined {
  return date === null || date === undefined ? undefined : date.getTime() * microsPerMilli
}
