import type { Dice } from '../../busy-world.ts'
import { NothingToDoError, type Simulation } from '../simulation.ts'

/** What somebody does to the server; returns what, in words. */
export type Action = (simulation: Simulation, dice: Dice) => Promise<string>

export const pipelineNames: readonly string[] = ['p0', 'p1', 'p2', 'p3', 'p4', 'p5']

/** @throws {NothingToDoError} when there is nothing to choose from. */
export function pick<Item>(dice: Dice, items: readonly Item[]): Item {
  const item = dice.pick(items)
  if (item === undefined) throw new NothingToDoError('there is nothing to choose from')
  return item
}
