import type { RequestedInput, RequestedSpec } from '../../../pipelines/requested-specs.ts'
import type { Dice } from '../../busy-world.ts'
import { transform } from '../../test-processing.ts'
import { bucketUrl, type Simulation } from '../simulation.ts'
import { usualKinds } from '../user-codes.ts'
import { pick, pipelineNames } from './actions.ts'

const globs: readonly string[] = ['/', '/*', '/*', '/*/*', '/d*', '/f*']
const matches = [
  { glob: '/(?)*', on: '$1' },
  { glob: '/*/(*)', on: '$1' },
] as const

function inputOf(simulation: Simulation, name: string, dice: Dice): RequestedInput {
  const lower = pipelineNames.slice(0, pipelineNames.indexOf(name))
  const known = [...lower, ...lower].filter((one) => simulation.hasPipeline(one))
  const repos = ['a', 'b', ...known]
  const memberCount = 1 + dice.roll(3)
  const shareName = dice.roll(2) === 0
  const atoms = (matching: 'joinOn' | 'groupBy' | undefined, sameName: boolean): RequestedInput[] =>
    Array.from({ length: memberCount }, (_, index) => {
      const match = pick(dice, matches)
      const atom = {
        name: sameName ? 'in' : `x${index}`,
        repo: pick(dice, repos),
        branch: '',
        glob: matching === undefined ? pick(dice, globs) : match.glob,
        lazy: false,
        fromCommit: '',
        ...(matching !== undefined && { [matching]: match.on }),
      }
      return { atom }
    })
  switch (dice.roll(8)) {
    case 0:
    case 1:
      return { cross: atoms(undefined, false) }
    case 2:
    case 3:
      return { union: atoms(undefined, shareName) }
    case 4:
      return { join: atoms('joinOn', false) }
    case 5:
      return { group: atoms('groupBy', false) }
    case 6:
      return { cross: [{ union: atoms(undefined, shareName) }, ...atoms(undefined, false)] }
    default: {
      const atom = { name: 'in', repo: pick(dice, repos), branch: '', glob: pick(dice, globs) }
      return { atom: { ...atom, lazy: false, fromCommit: '' } }
    }
  }
}

function logInput(dice: Dice): RequestedInput {
  const glob = dice.roll(2) === 0 ? '/' : '/*'
  return { atom: { name: 'in', repo: 'log', branch: '', glob, lazy: false, fromCommit: '' } }
}

export function specOf(
  simulation: Simulation,
  name: string,
  { command, isIncremental }: { readonly command: string; readonly isIncremental: boolean },
  dice: Dice,
): RequestedSpec {
  const constant = dice.roll(4)
  const errorCommand = dice.roll(4) === 0 ? ['nothing:0'] : undefined
  return {
    name,
    transform: transform(command, { errorCommand }),
    input: isIncremental ? logInput(dice) : inputOf(simulation, name, dice),
    incremental: isIncremental,
    ...(dice.roll(4) === 0 && { egressUrl: bucketUrl + name }),
    ...(constant > 0 && { parallelism: { constant, coefficient: 0 } }),
  }
}

export function commandOf(isIncremental: boolean, dice: Dice): string {
  const mark = dice.roll(1000)
  return isIncremental ? `seen:${mark}` : `${pick(dice, usualKinds)}:${mark}`
}
