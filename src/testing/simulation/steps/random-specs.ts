import type {
  RequestedAtom,
  RequestedInput,
  RequestedSpec,
} from '../../../pipelines/requested-specs.ts'
import type { Dice } from '../../busy-world.ts'
import { transform } from '../../test-processing.ts'
import { errorCommand } from '../simulated-server.ts'
import { bucketUrl, type Simulation } from '../simulation.ts'
import { limitsOf } from '../limit-law.ts'
import { scheduleSpecs } from '../schedule-model.ts'
import { sourceRepos } from '../source-model.ts'
import { isService, serviceKind, usualKinds } from '../user-codes.ts'
import { pick, pipelineNames } from './actions.ts'
import { randomTrigger } from './trigger-steps.ts'

const globs: readonly string[] = ['/', '/*', '/*', '/*/*', '/d*', '/f*']
/** Workers wait shorter than any clock, so that the time in which nothing else happens need not pass. */
export const idleMs = 1000

const matches = [
  { glob: '/(?)*', on: '$1' },
  { glob: '/*/(*)', on: '$1' },
] as const

function inputOf(simulation: Simulation, name: string, dice: Dice): RequestedInput {
  const lower = pipelineNames.slice(0, pipelineNames.indexOf(name))
  const known = [...lower, ...lower].filter((one) => simulation.makesCommits(one))
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

/** Often alone, for its ticks are jobs then. */
function withClock(simulation: Simulation, input: RequestedInput, dice: Dice): RequestedInput {
  const cron = {
    name: 'tick',
    repo: '',
    spec: pick(dice, scheduleSpecs),
    start: dice.roll(3) === 0 ? simulation.events.wall() - dice.roll(200) * 1_000_000 : undefined,
    timeZone: '',
    missedTicks: pick(dice, ['', 'latest', 'none']),
  }
  switch (dice.roll(4)) {
    case 0:
      return { cross: [input, { cron }] }
    case 1:
      return { union: [input, { cron }] }
    default:
      return { cron }
  }
}

type ChangeOf = (atom: RequestedAtom) => Partial<RequestedAtom>

function withAtoms(input: RequestedInput, changeOf: ChangeOf): RequestedInput {
  const changed = (one: RequestedInput): RequestedInput => withAtoms(one, changeOf)
  const { atom, cross, union, join, group } = input
  if (atom !== undefined) return { atom: { ...atom, ...changeOf(atom) } }
  return {
    ...input,
    ...(cross && { cross: cross.map(changed) }),
    ...(union && { union: union.map(changed) }),
    ...(join && { join: join.map(changed) }),
    ...(group && { group: group.map(changed) }),
  }
}

/** Some of the repos are read through branches that follow others. */
function throughTriggers(input: RequestedInput, dice: Dice): RequestedInput {
  const readings = new Map<string, Partial<RequestedAtom>>()
  return withAtoms(input, ({ repo }) => {
    const reading = readings.get(repo) ?? randomReading(repo, dice)
    readings.set(repo, reading)
    return reading
  })
}

/** Of one repo each: a service shows all that its inputs hold at once, and of what overlaps one. */
function namedByRepo(input: RequestedInput): RequestedInput {
  return withAtoms(input, ({ name, repo }) => ({ name: `${name}-${repo}` }))
}

function randomReading(repo: string, dice: Dice): Partial<RequestedAtom> {
  const isSource = sourceRepos.includes(repo)
  switch (dice.roll(4)) {
    case 0:
      return {}
    case 1:
      return isSource ? { branch: 'staging' } : {}
    default: {
      const trigger = randomTrigger('', dice)
      // How many bytes an output adds, nobody knows beforehand.
      return { trigger: isSource ? trigger : { ...trigger, size: '', commits: 1 + dice.roll(2) } }
    }
  }
}

function logInput(dice: Dice): RequestedInput {
  const glob = dice.roll(2) === 0 ? '/' : '/*'
  return { atom: { name: 'in', repo: 'log', branch: '', glob, lazy: false, fromCommit: '' } }
}

/** Ports are those of one machine. */
function serviceOf(
  name: string,
  command: string,
  input: RequestedInput,
  dice: Dice,
): RequestedSpec {
  return {
    name,
    transform: transform(command),
    input,
    scaleDownThresholdMs: idleMs,
    service: { internalPort: 8000 + pipelineNames.indexOf(name), externalPort: 0 },
    ...(dice.roll(2) === 0 && { parallelism: { constant: 1, coefficient: 0 } }),
  }
}

export function specOf(
  simulation: Simulation,
  name: string,
  { command, isIncremental }: { readonly command: string; readonly isIncremental: boolean },
  dice: Dice,
): RequestedSpec {
  const constant = dice.roll(4)
  const input = isIncremental ? logInput(dice) : inputOf(simulation, name, dice)
  const hasTriggers = dice.roll(5) === 0
  const read = hasTriggers ? throughTriggers(input, dice) : input
  const hasClock = !isIncremental && dice.roll(4) === 0
  const clocked = hasClock ? withClock(simulation, read, dice) : read
  if (isService(command)) return serviceOf(name, command, namedByRepo(clocked), dice)
  const handling = dice.roll(4) === 0 ? { errorCommand: [errorCommand] } : {}
  return {
    name,
    transform: transform(command, handling),
    input: clocked,
    incremental: isIncremental,
    scaleDownThresholdMs: idleMs,
    ...limitsOf(command),
    ...(dice.roll(4) === 0 && { egressUrl: bucketUrl + name }),
    ...(constant > 0 && { parallelism: { constant, coefficient: 0 } }),
  }
}

export function commandOf(isIncremental: boolean, dice: Dice): string {
  const mark = dice.roll(1000)
  if (!isIncremental && dice.roll(7) === 0) return `${serviceKind}:${mark}`
  return isIncremental ? `seen:${mark}` : `${pick(dice, usualKinds)}:${mark}`
}
