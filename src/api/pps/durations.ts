import type { Duration } from '@bufbuild/protobuf/wkt'

const millisPerSecond = 1000
const nanosPerMilli = 1_000_000

/** A google.protobuf.Duration. */
export function durationOf(ms: number): Omit<Duration, '$typeName' | '$unknown'> {
  const seconds = Math.floor(ms / millisPerSecond)
  const nanos = Math.round((ms - seconds * millisPerSecond) * nanosPerMilli)
  return { seconds: BigInt(seconds), nanos }
}
