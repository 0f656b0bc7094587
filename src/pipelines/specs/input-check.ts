import type { Instant } from '../../base/clock.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { parseGlob } from '../../base/globs.ts'
import { parseCommitId, parseRepoName } from '../../base/names.ts'
import type { BranchName, PipelineName } from '../../base/names.ts'
import { parseMatchKeys } from '../discovery/match-keys.ts'
import type { RequestedAtom, RequestedCron, RequestedInput } from '../requested-specs.ts'
import { checkTrigger, triggerBranch, type RequestedTrigger } from './trigger-check.ts'
import {
  atomsOf,
  isMissedTicks,
  sortInput,
  tickPath,
  type AtomInput,
  type Input,
  type InputTrigger,
} from '../inputs.ts'

const inputDepthMax = 16
const leafCountMax = 256
const kindsText = 'an input is one of atom, cross, union, join, group and cron'

/** What the input is checked for. */
export interface InputSurroundings {
  readonly pipeline: PipelineName
  readonly now: Instant
}

/**
 * Checks an input by itself and sorts its members (see `sortInput`). Whether its repos exist is
 * checked where the pipeline is stored; what a cron input's schedule says, by `checkSchedules`.
 *
 * @throws {InvalidArgumentError}
 */
export function checkInput(request: RequestedInput, surroundings: InputSurroundings): Input {
  const input = parseInput(request, surroundings, 0)
  const atoms = atomsOf(input)
  if (atoms.length > leafCountMax) {
    throw new InvalidArgumentError(`an input may have at most ${leafCountMax} atoms`)
  }
  refuseTwoBranches(atoms)
  namesOf(input)
  return sortInput(input)
}

function parseInput(request: RequestedInput, around: InputSurroundings, depth: number): Input {
  if (depth > inputDepthMax) {
    throw new InvalidArgumentError(`inputs may be nested at most ${inputDepthMax} deep`)
  }
  const { atom, cross, union, join, group, cron } = request
  const given = [atom, cross, union, join, group, cron].filter((member) => member !== undefined)
  if (given.length > 1) {
    throw new InvalidArgumentError(`multiple input types set: ${kindsText}`)
  }
  if (atom !== undefined) return parseFreeAtom(atom, around)
  if (cron !== undefined) return parseCron(cron, around)
  const members = cross ?? union ?? join ?? group ?? []
  if (members.length === 0) throw new InvalidArgumentError(`no input set: ${kindsText}`)
  if (join !== undefined)
    return { kind: 'join', members: join.map((one) => parseJoined(one, around)) }
  if (group !== undefined)
    return { kind: 'group', members: group.map((one) => parseGrouped(one, around)) }
  return {
    kind: cross === undefined ? 'union' : 'cross',
    members: members.map((member) => parseInput(member, around, depth + 1)),
  }
}

/** An atom that is in no join or group. */
function parseFreeAtom(request: RequestedAtom, around: InputSurroundings): AtomInput {
  const atom = parseAtom(request, around)
  const field = matchField(request)
  if (field === undefined) {
    parseGlob(atom.glob)
    return atom
  }
  throw new InvalidArgumentError(
    `input ${atom.name} has ${field}, and is not a member of a ${field === 'group_by' ? 'group' : 'join'}`,
  )
}

function matchField({ joinOn, outerJoin, groupBy }: RequestedAtom): string | undefined {
  if (joinOn !== undefined && joinOn !== '') return 'join_on'
  if (groupBy !== undefined && groupBy !== '') return 'group_by'
  return outerJoin === true ? 'outer_join' : undefined
}

function parseJoined({ atom: request }: RequestedInput, around: InputSurroundings): AtomInput {
  if (request === undefined) throw new InvalidArgumentError('the members of a join are atoms')
  const atom = parseAtom(request, around)
  if (request.groupBy !== undefined && request.groupBy !== '') {
    throw new InvalidArgumentError(`input ${atom.name} has group_by, and is a member of a join`)
  }
  const matchOn = checkMatching(atom, request.joinOn, 'join_on')
  return { ...atom, matchOn, ...(request.outerJoin === true && { outer: true }) }
}

function parseGrouped({ atom: request }: RequestedInput, around: InputSurroundings): AtomInput {
  if (request === undefined) throw new InvalidArgumentError('the members of a group are atoms')
  const atom = parseAtom(request, around)
  const field = matchField({ ...request, groupBy: '' })
  if (field !== undefined) {
    throw new InvalidArgumentError(`input ${atom.name} has ${field}, and is a member of a group`)
  }
  return { ...atom, matchOn: checkMatching(atom, request.groupBy, 'group_by') }
}

function checkMatching({ name, glob }: AtomInput, template = '', field: string): string {
  if (template === '') {
    throw new InvalidArgumentError(
      `input ${name} must specify ${field}: with the glob "/(*).txt", "$1" is the name without its end`,
    )
  }
  try {
    parseMatchKeys(glob, template)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new InvalidArgumentError(`${field} of input ${name}: ${error.message}`, { cause: error })
  }
  return template
}

/** All but what its glob says. */
function parseAtom(atom: RequestedAtom, { pipeline }: InputSurroundings): AtomInput {
  if (atom.repo === '') throw new InvalidArgumentError('input must specify a repo')
  const repo = parseRepoName(atom.repo)
  const name = checkName(atom.name === '' ? repo : atom.name)
  if (atom.glob === '') {
    throw new InvalidArgumentError(
      `input ${name} must specify a glob: "/" makes one datum of everything, "/*" one of each top-level file`,
    )
  }
  // Imported branches may have names that a new one may not, so any text is looked up.
  const branch = (atom.branch === '' ? 'master' : atom.branch) as BranchName
  const trigger = atom.trigger && parseTrigger(name, atom.trigger, branch)
  return {
    kind: 'atom',
    name,
    repo,
    branch: trigger === undefined ? branch : triggerBranch(pipeline),
    glob: atom.glob,
    lazy: atom.lazy,
    ...(atom.fromCommit === '' ? {} : { fromCommit: parseCommitId(atom.fromCommit) }),
    ...(trigger !== undefined && { trigger }),
  }
}

function parseTrigger(
  input: string,
  requested: RequestedTrigger,
  branch: BranchName,
): InputTrigger {
  try {
    return checkTrigger({ ...requested, branch: requested.branch || branch })
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new InvalidArgumentError(`input ${input}: ${error.message}`, { cause: error })
  }
}

function parseCron(cron: RequestedCron, { pipeline, now }: InputSurroundings): AtomInput {
  if (cron.name === '') {
    throw new InvalidArgumentError(
      'input must specify a name: a cron input is found at /pfs/<name>/time',
    )
  }
  const name = checkName(cron.name)
  const missed = cron.missedTicks === '' ? 'all' : cron.missedTicks
  if (!isMissedTicks(missed)) {
    throw new InvalidArgumentError(
      `missed_ticks ${JSON.stringify(missed)} of input ${name} must be "all", "latest" or "none"`,
    )
  }
  const { spec: schedule, timeZone, start = now } = cron
  return {
    kind: 'atom',
    name,
    repo: parseRepoName(cron.repo === '' ? `${pipeline}_${name}` : cron.repo),
    branch: 'master' as BranchName,
    glob: tickPath,
    lazy: false,
    cron: { schedule, timeZone, start, missed },
  }
}

function checkName(name: string): string {
  if (name === 'out') {
    throw new InvalidArgumentError(
      'input cannot be named "out", as pachyderm already creates /pfs/out to collect job output; set "name" to another name',
    )
  }
  // A name is one directory below /pfs.
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (name === '.' || name === '..' || !/^[^/\u0000-\u001f\u007f]{1,255}$/.test(name)) {
    throw new InvalidArgumentError(
      `input name ${JSON.stringify(name)} cannot be a directory below /pfs; use letters, digits, "_" and "-"`,
    )
  }
  return name
}

function refuseTwoBranches(atoms: readonly AtomInput[]): void {
  const branches = new Map<string, string>()
  const triggers = new Map<string, string>()
  for (const { repo, branch, trigger } of atoms) {
    const other = branches.get(repo)
    const conditions = JSON.stringify(trigger)
    if (branch === other && triggers.get(repo) !== conditions) {
      throw new InvalidArgumentError(
        `cannot use the same repo in multiple inputs with different triggers: ${repo}; give each the same`,
      )
    }
    triggers.set(repo, conditions)
    if (other !== undefined && other !== branch) {
      throw new InvalidArgumentError(
        `cannot use the same repo in multiple inputs with different branches: ${repo} with ${other} and ${branch}`,
      )
    }
    branches.set(repo, branch)
  }
}

/** The names that datums of `input` may have; members of one cross, join or group must not share any. */
function namesOf(input: Input): ReadonlySet<string> {
  if (input.kind === 'atom') return new Set([input.name])
  const names = new Set<string>()
  for (const member of input.members) {
    for (const name of namesOf(member)) {
      if (input.kind !== 'union' && names.has(name)) {
        throw new InvalidArgumentError(
          `name ${name} was used more than once; give one of the inputs another "name"`,
        )
      }
      names.add(name)
    }
  }
  return names
}
