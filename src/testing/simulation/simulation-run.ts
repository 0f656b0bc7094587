import { Dice } from '../busy-world.ts'
import { checkLaws } from './laws.ts'
import { BrokenLawError, Simulation } from './simulation.ts'
import { randomSteps, type Step, takeStep } from './simulation-steps.ts'

/** How a run ended. */
export interface Run {
  /** Undefined when every law held. */
  readonly broken: string | undefined
  readonly trace: readonly string[]
  readonly eventCount: number
}

export async function runSteps(seed: number, steps: readonly Step[]): Promise<Run> {
  const simulation = await Simulation.open(seed)
  let broken: string | undefined
  try {
    for (const step of steps) await takeStep(simulation, step)
    await checkLaws(simulation)
  } catch (error) {
    if (!(error instanceof BrokenLawError)) throw error
    broken = error.message
  }
  const { trace, events } = simulation
  simulation.close()
  return { broken, trace, eventCount: events.count }
}

export function stepsOf(seed: number, count: number): readonly Step[] {
  return randomSteps(new Dice(seed), count)
}

const shrinkRunsMax = 150

/** Fewer steps that break a law, too: parts are left out as long as that goes on to be so. */
async function shrunk(seed: number, steps: readonly Step[]): Promise<readonly Step[]> {
  let kept = steps
  let runCount = 0
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < kept.length && runCount < shrinkRunsMax;) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + size)]
      runCount += 1
      if ((await runSteps(seed, fewer)).broken === undefined) at += size
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
  const fewer = await shrunk(seed, steps)
  const short = await runSteps(seed, fewer)
  return [
    `seed ${seed} breaks a law after ${run.trace.length} of ${stepCount} steps: ${run.broken}`,
    `see it again: npm run simulate -- --seed ${seed} --runs 1 --steps ${stepCount}`,
    `${fewer.length} of these steps are enough: ${short.broken}`,
    ...short.trace,
  ].join('\n')
}
