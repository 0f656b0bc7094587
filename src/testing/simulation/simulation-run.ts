import { SystemClock } from '../../base/clock.ts'
import { Dice } from '../busy-world.ts'
import { checkLaws } from './laws.ts'
import { BrokenLawError, Simulation } from './simulation.ts'
import { randomSteps, type Step, takeStep } from './simulation-steps.ts'

/** How a run ended. */
export interface Run {
  /** Undefined when every law held. */
  readonly broken: string | undefined
  /** It broke the law that everything ends. */
  readonly isHanging: boolean
  readonly trace: readonly string[]
  readonly eventCount: number
}

/** A step, or the look at the laws, that takes longer than this hangs: on a busy machine one takes a second. */
const stepMsMax = 120_000
/** In a run that is known to hang. */
const hangingStepMsMax = 20_000
const clock = new SystemClock()

export async function runSteps(
  seed: number,
  steps: readonly Step[],
  msMax: number = stepMsMax,
): Promise<Run> {
  const simulation = await Simulation.open(seed)
  let broken: string | undefined
  let isHanging = false
  try {
    for (const [index, step] of steps.entries()) {
      await within(msMax, takeStep(simulation, step), `step ${index + 1} (${step.kind})`)
    }
    await within(msMax, checkLaws(simulation), 'the look at the laws')
  } catch (error) {
    if (!(error instanceof BrokenLawError)) throw error
    broken = error.message
    isHanging = error instanceof HangError
  }
  const { trace, events } = simulation
  simulation.close()
  return { broken, isHanging, trace, eventCount: events.count }
}

class HangError extends BrokenLawError {}

/** By the clock on the wall, for that of the simulation stands still with the run. */
async function within(msMax: number, step: Promise<void>, name: string): Promise<void> {
  const ended = new AbortController()
  const late = clock.sleep(msMax, ended.signal).then(() => {
    throw new HangError(`${name} did not end within ${msMax / 1000} s`)
  })
  late.catch(() => {})
  try {
    await Promise.race([step, late])
  } finally {
    ended.abort()
  }
}

export function stepsOf(seed: number, count: number): readonly Step[] {
  return randomSteps(new Dice(seed), count)
}

const shrinkRunsMax = 150
const hangingShrinkRunsMax = 30

/** Fewer steps that break a law, too: parts are left out as long as that goes on to be so. */
async function shrunk(
  seed: number,
  steps: readonly Step[],
  isHanging: boolean,
): Promise<readonly Step[]> {
  const runsMax = isHanging ? hangingShrinkRunsMax : shrinkRunsMax
  const msMax = isHanging ? hangingStepMsMax : stepMsMax
  let kept = steps
  let runCount = 0
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < kept.length && runCount < runsMax;) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + size)]
      runCount += 1
      if ((await runSteps(seed, fewer, msMax)).broken === undefined) at += size
      else kept = fewer
    }
  }
  return kept
}

/**
 * Runs random steps. Undefined when every law held; else what to tell: which law, how to see it
 * again, and what happened in the shortest run that was found.
 */
export async function verdict(seed: number, stepCount: number): Promise<string | undefined> {
  const steps = stepsOf(seed, stepCount)
  const run = await runSteps(seed, steps)
  if (run.broken === undefined) return undefined
  const fewer = await shrunk(seed, steps, run.isHanging)
  const short = await runSteps(seed, fewer)
  return [
    `seed ${seed} breaks a law after ${run.trace.length} of ${stepCount} steps: ${run.broken}`,
    `see it again: npm run simulate -- --seed ${seed} --runs 1 --steps ${stepCount}`,
    `${fewer.length} of these steps are enough: ${short.broken}`,
    ...short.trace,
  ].join('\n')
}
