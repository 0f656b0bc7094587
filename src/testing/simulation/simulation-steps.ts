import { Dice } from '../busy-world.ts'
import type { Simulation } from './simulation.ts'
import { type Action, pick } from './steps/actions.ts'
import { pipelineActions, type PipelineStepKind } from './steps/pipeline-steps.ts'
import { finishedCommit, sourceActions, type SourceStepKind } from './steps/source-steps.ts'

/** What a step may be. */
export type StepKind = SourceStepKind | PipelineStepKind | ServerStepKind

/** What becomes of the server itself. */
type ServerStepKind = 'collect' | 'flush' | 'wait' | 'settle' | 'crash' | 'restart'

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
    simulation.crashAfter(1 + dice.roll(60))
    return 'a crash is coming'
  },
  async restart(simulation) {
    await simulation.restart()
    return 'restart'
  },
}

const actions: Readonly<Record<StepKind, Action>> = {
  ...sourceActions,
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
