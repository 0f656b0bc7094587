import { Dice } from '../../src/testing/busy-world.ts'
import { checkLaws } from '../../src/testing/simulation/laws.ts'
import { BrokenLawError, Simulation } from '../../src/testing/simulation/simulation.ts'
import { randomSteps, type Step } from '../../src/testing/simulation/simulation-steps.ts'

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
    for (const step of steps) await simulation.take(step)
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
export async function shrunk(seed: number, steps: readonly Step[]): Promise<readonly Step[]> {
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

/** What to print of a run that broke a law. */
export function report(seed: number, stepCount: number, run: Run): string {
  const lines = [
    `seed ${seed} with ${stepCount} steps breaks a law: ${run.broken}`,
    `run it again: SIMULATION_SEED=${seed} SIMULATION_STEPS=${stepCount} tools/simulate`,
    ...run.trace,
  ]
  return lines.join('\n')
}
