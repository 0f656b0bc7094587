import type { Instant } from '../../base/clock.ts'

const microsPerSecond = 1_000_000

/** When a clock ticks, worked out without the product's code. */
interface ScheduleModel {
  readonly periodSeconds: number
  /** At whole multiples of the period; else so long after the tick before. */
  readonly isOnGrid: boolean
}

/** The specs of clocks in a simulation. */
const schedules: Readonly<Record<string, ScheduleModel>> = {
  '@every 40s': { periodSeconds: 40, isOnGrid: false },
  '@every 1m30s': { periodSeconds: 90, isOnGrid: false },
  '*/30 * * * * *': { periodSeconds: 30, isOnGrid: true },
  '@crontab * * * * *': { periodSeconds: 60, isOnGrid: true },
  '@crontab */2 * * * *': { periodSeconds: 120, isOnGrid: true },
}

export const scheduleSpecs: readonly string[] = Object.keys(schedules)
/** Every clock ticks at least once in so long. */
export const periodMsMax = 120_000
/** Somebody who has set the clock is noticed in so long. */
export const pollMs = 60_000

function scheduleOf(spec: string): ScheduleModel {
  const schedule = schedules[spec]
  if (schedule === undefined) throw new Error(`the model does not know the schedule ${spec}`)
  return schedule
}

/** The first tick after `time`. */
export function nextTick(spec: string, time: Instant): Instant {
  const { periodSeconds, isOnGrid } = scheduleOf(spec)
  const second = Math.floor(time / microsPerSecond)
  const next = isOnGrid
    ? (Math.floor(second / periodSeconds) + 1) * periodSeconds
    : second + periodSeconds
  return next * microsPerSecond
}

/** The ticks after `from`, up to `to`. */
export function ticksBetween(spec: string, from: Instant, to: Instant): readonly Instant[] {
  const ticks: Instant[] = []
  for (let tick = nextTick(spec, from); tick <= to; tick = nextTick(spec, tick)) ticks.push(tick)
  return ticks
}
