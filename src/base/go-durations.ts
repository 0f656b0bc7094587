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
const nanosPerSecond = 1_000_000_000n

/**
 * A duration as Go writes it (`1h30m`, `1.5s`, `-2ms`, `0`), in nanoseconds. Undefined when it is
 * none, or over 292 years.
 */
export function goDurationNanos(text: string): bigint | undefined {
  const digits = text.replace(/^[+-]/, '')
  if (digits === '0') return 0n
  let nanos = 0n
  let end = 0
  for (const match of digits.matchAll(part)) {
    nanos += partNanos(match[1] ?? '', unitNanos[match[2] ?? ''] ?? 0)
    end = match.index + match[0].length
  }
  if (digits === '' || end !== digits.length || nanos > nanosMax) return undefined
  return text.startsWith('-') ? -nanos : nanos
}

/**
 * The same in the JSON form of protobuf: seconds with nine digits of a fraction and an `s`.
 * Undefined where `goDurationNanos` is.
 */
export function goDurationSeconds(text: string): string | undefined {
  const nanos = goDurationNanos(text)
  if (nanos === undefined) return undefined
  if (nanos === 0n) return '0s'
  const size = nanos < 0n ? -nanos : nanos
  const fraction = String(size % nanosPerSecond).padStart(9, '0')
  return `${nanos < 0n ? '-' : ''}${size / nanosPerSecond}.${fraction}s`
}

/** Whole units exactly, and their fraction as far as nanoseconds go. */
function partNanos(text: string, nanosOfUnit: number): bigint {
  const [whole = '', fraction = ''] = text.split('.')
  const rest = fraction === '' ? 0 : Math.trunc(Number(`0.${fraction}`) * nanosOfUnit)
  return BigInt(whole === '' ? '0' : whole) * BigInt(nanosOfUnit) + BigInt(rest)
}
