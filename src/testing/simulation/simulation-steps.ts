import { Dice } from '../busy-world.ts'
import type { Simulation } from './simulation.ts'
import { type Action, pick } from './steps/actions.ts'
import { pipelineActions, type PipelineStepKind } from './steps/pipeline-steps.ts'
import { finishedCommit, sourceActions, type SourceStepKind } from './steps/source-steps.ts'
import { triggerActions, type TriggerStepKind } from './steps/trigger-steps.ts'

/** What a step may be. */
export type StepKind = SourceStepKind | TriggerStepKind | PipelineStepKind | ServerStepKind

/** What becomes of the server itself, and of the time. */
type ServerStepKind =
  | 'collect'
  | 'flush'
  | 'wait'
  | 'settle'
  | 'crash'
  | 'restart'
  | 'pass'
  | 'setClock'

/** Often a few seconds, at times so long that clocks have missed ticks. */
function someTimeMs(dice: Dice): number {
  const secondsMax = [10, 100, 100, 400][dice.roll(4)] ?? 0
  return dice.roll(secondsMax * 1000)
}

const serverActions: Readonly<Record<ServerStepKind, Action>> = {
  async collect(simulation) {
    simulation.collect()
    return 'collect garbage'
  },
  async flush(simulation, dice) {
    const { repo, id } = finishedCommit(simulation, dice)
    simulation.flush(repo, id)
    return `flush ${repo}@${id.slice(0, 6)}`
  },
  async wait(simulation, dice) {
    await simulation.wait(dice.roll(300))
    return 'wait'
  },
  async settle(simulation) {
    await simulation.wait(Number.POSITIVE_INFINITY)
    return 'wait until all is done'
  },
  /** The crash comes in the middle of a later step. */
  async crash(simulation, dice) {
    const downMs = someTimeMs(dice)
    simulation.crashAfter(1 + dice.roll(60), downMs)
    return `a crash is coming, for ${downMs} ms`
  },
  async restart(simulation, dice) {
    const downMs = someTimeMs(dice)
    await simulation.restart(downMs)
    return `restart after ${downMs} ms`
  },
  /** Some of the time passes in this step, and the rest while others do something. */
  async pass(simulation, dice) {
    const ms = someTimeMs(dice)
    simulation.events.letPass(ms)
    await simulation.wait(dice.roll(600))
    return `let ${ms} ms pass`
  },
  async setClock(simulation, dice) {
    const ms = someTimeMs(dice)
    simulation.setClockAhead(ms)
    return `set the clock ahead by ${ms} ms`
  },
}

const actions: Readonly<Record<StepKind, Action>> = {
  ...sourceActions,
  ...triggerActions,
  ...pipelineActions,
  ...serverActions,
}

export interface Step {
  readonly kind: StepKind
  /** Of all that is left to chance in it. */
  readonly seed: number
}

/** @throws {BrokenLawError} */
export async function takeStep(simulation: Simulation, { kind, seed }: Step): Promise<void> {
  await simulation.take(kind, () => actions[kind](simulation, new Dice(seed)))
}

/** How often each kind comes, in a long run. */
export const usualWeights: Readonly<Record<StepKind, number>> = {
  commit: 24,
  open: 3,
  put: 5,
  finish: 4,
  together: 3,
  setBranch: 2,
  deleteBranch: 1,
  deleteCommit: 2,
  merge: 1,
  revert: 1,
  follow: 4,
  unfollow: 1,
  moveFollower: 1,
  deleteFollower: 1,
  create: 9,
  update: 3,
  reprocess: 1,
  stop: 3,
  start: 5,
  deletePipeline: 1,
  run: 2,
  stopJob: 2,
  deleteJob: 1,
  restartDatum: 2,
  try: 5,
  mergeTrial: 5,
  deleteTrial: 2,
  collect: 2,
  flush: 3,
  wait: 10,
  settle: 2,
  crash: 4,
  restart: 1,
  pass: 7,
  setClock: 1,
}

export function randomSteps(
  dice: Dice,
  count: number,
  weights: Readonly<Partial<Record<StepKind, number>>> = usualWeights,
): readonly Step[] {
  const kinds = Object.entries(weights).flatMap(([kind, weight]) =>
    // The cast: `Object.entries` forgets the names of keys.
    Array.from({ length: weight }, () => kind as StepKind),
  )
  return Array.from({ length: count }, () => ({
    kind: pick(dice, kinds),
    seed: dice.roll(2 ** 31),
  }))
}
