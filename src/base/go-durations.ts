const unitNanos: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
}
const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gy
const nanosMax = 2n ** 63n - 1n

/**
 * A duration as Go writes it (`1h30m`, `1.5s`, `-2ms`, `0`), in the JSON form of protobuf: seconds
 * with nine digits of a fraction and an `s`. Undefined when it is none, or over 292 years.
 */
export function goDurationSeconds(text: string): string | undefined {
  const sign = text.startsWith('-') ? '-' : ''
  const digits = text.replace(/^[+-]/, '')
  if (digits === '0') return '0s'
  let nanos = 0n
  let end = 0
  for (const match of digits.matchAll(part)) {
    nanos += partNanos(match[1] ?? '', unitNanos[match[2] ?? ''] ?? 0)
    end = match.index + match[0].length
  }
  if (digits === '' || end !== digits.length || nanos > nanosMax) return undefined
  const fraction = String(nanos % 1_000_000_000n).padStart(9, '0')
  return `${sign}${nanos / 1_000_000_000n}.${fraction}s`
}

/** Whole units exactly, and their fraction as far as nanoseconds go. */
function partNanos(text: string, nanosOfUnit: number): bigint {
  const [whole = '', fraction = ''] = text.split('.')
  const rest = fraction === '' ? 0 : Math.trunc(Number(`0.${fraction}`) * nanosOfUnit)
  return BigInt(whole === '' ? '0' : whole) * BigInt(nanosOfUnit) + BigInt(rest)
}
