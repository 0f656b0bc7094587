import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt'
import type { Clock } from '../../base/clock.ts'

const minuteSeconds = 60
const hourSeconds = 3600
const dayHours = 24

/** A span of time for people. Hours are rounded to the nearest, all else is rounded down. */
export function spanText(seconds: number): string {
  const whole = Math.trunc(seconds)
  if (whole < 1) return 'Less than a second'
  if (whole === 1) return '1 second'
  if (whole < minuteSeconds) return `${whole} seconds`
  const minutes = Math.trunc(seconds / minuteSeconds)
  if (minutes === 1) return 'About a minute'
  if (minutes < 46) return `${minutes} minutes`
  const hours = Math.trunc(seconds / hourSeconds + 0.5)
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  if (hours < dayHours * 7 * 2) return `${Math.trunc(hours / dayHours)} days`
  if (hours < dayHours * 30 * 2) return `${Math.trunc(hours / dayHours / 7)} weeks`
  if (hours < dayHours * 365 * 2) return `${Math.trunc(hours / dayHours / 30)} months`
  return `${Math.trunc(seconds / hourSeconds / dayHours / 365)} years`
}

/** How long ago something was; empty for a time that is not set. */
export function ageText(time: Timestamp | undefined, clock: Clock): string {
  if (time === undefined) return ''
  return `${spanText(clock.now() / 1e6 - secondsOf(time))} ago`
}

/** How long something took, from start to end; empty unless both are set. */
export function betweenText(start: Timestamp | undefined, end: Timestamp | undefined): string {
  if (start === undefined || end === undefined) return ''
  return spanText(secondsOf(end) - secondsOf(start))
}

export function durationText(duration: Duration | undefined): string {
  return spanText(duration === undefined ? 0 : secondsOf(duration))
}

export function secondsOf({ seconds, nanos }: Timestamp | Duration): number {
  return Number(seconds) + nanos / 1e9
}

/** As Go prints a duration: `1h2m3.5s`, `1.2s`, `15ms`, `0s`. */
export function goDurationText(duration: Duration | undefined): string {
  if (duration === undefined) return '0s'
  const total = duration.seconds * 1_000_000_000n + BigInt(duration.nanos)
  const sign = total < 0n ? '-' : ''
  const nanos = total < 0n ? -total : total
  if (nanos === 0n) return '0s'
  if (nanos < 1000n) return `${sign}${nanos}ns`
  if (nanos < 1_000_000n) return `${sign}${decimalText(nanos, 3)}µs`
  if (nanos < 1_000_000_000n) return `${sign}${decimalText(nanos, 6)}ms`
  const minutes = nanos / 60_000_000_000n
  const seconds = `${decimalText(nanos % 60_000_000_000n, 9)}s`
  if (minutes === 0n) return sign + seconds
  const hours = minutes / 60n
  return `${sign}${hours === 0n ? '' : `${hours}h`}${minutes % 60n}m${seconds}`
}

/** `value` divided by a power of ten, without zeros at the end. */
function decimalText(value: bigint, digitCount: number): string {
  const digits = value.toString().padStart(digitCount + 1, '0')
  const whole = digits.slice(0, -digitCount)
  const fraction = digits.slice(-digitCount).replace(/0+$/, '')
  return fraction === '' ? whole : `${whole}.${fraction}`
}
