import { InvalidArgumentError, UnimplementedError } from '../../base/errors.ts'
import { parseGlob } from '../../base/globs.ts'
import { parseCommitId, parseRepoName, type BranchName } from '../../base/names.ts'
import type { RequestedAtom, RequestedInput } from '../requested-specs.ts'
import { atomsOf, sortInput, type AtomInput, type Input } from '../inputs.ts'

const inputDepthMax = 16
const leafCountMax = 256

/**
 * Checks an input by itself and sorts its members (see `sortInput`). Whether its repos exist is
 * checked where the pipeline is stored.
 *
 * @throws {InvalidArgumentError}
 */
export function checkInput(request: RequestedInput): Input {
  const input = parseInput(request, 0)
  const atoms = atomsOf(input)
  if (atoms.length > leafCountMax) {
    throw new InvalidArgumentError(`an input may have at most ${leafCountMax} atoms`)
  }
  refuseTwoBranches(atoms)
  namesOf(input)
  return sortInput(input)
}

function parseInput(request: RequestedInput, depth: number): Input {
  if (depth > inputDepthMax) {
    throw new InvalidArgumentError(`inputs may be nested at most ${inputDepthMax} deep`)
  }
  const { atom, cross, union } = request
  const set = [atom, cross, union].filter((member) => member !== undefined).length
  if (set + (request.cron === true ? 1 : 0) > 1) {
    throw new InvalidArgumentError(
      'multiple input types set: an input is one of atom, cross and union',
    )
  }
  if (request.cron === true) throw new UnimplementedError('cron inputs are not built yet')
  if (atom !== undefined) return parseAtom(atom)
  const members = cross ?? union
  if (members === undefined || members.length === 0) {
    throw new InvalidArgumentError('no input set: an input is one of atom, cross and union')
  }
  return {
    kind: cross === undefined ? 'union' : 'cross',
    members: members.map((member) => parseInput(member, depth + 1)),
  }
}

function parseAtom(atom: RequestedAtom): AtomInput {
  if (atom.repo === '') throw new InvalidArgumentError('input must specify a repo')
  const repo = parseRepoName(atom.repo)
  const name = atom.name === '' ? repo : atom.name
  if (name === 'out') {
    throw new InvalidArgumentError(
      'input cannot be named "out", as pachyderm already creates /pfs/out to collect job output; set "name" to another name',
    )
  }
  // A name is one directory below /pfs.
  if (name === '.' || name === '..' || !/^[^/\0]{1,255}$/.test(name)) {
    throw new InvalidArgumentError(
      `input name ${JSON.stringify(name)} cannot be a directory below /pfs; use letters, digits, "_" and "-"`,
    )
  }
  if (atom.glob === '') {
    throw new InvalidArgumentError(
      `input ${name} must specify a glob: "/" makes one datum of everything, "/*" one of each top-level file`,
    )
  }
  parseGlob(atom.glob)
  return {
    kind: 'atom',
    name,
    repo,
    // Imported branches may have names that a new one may not, so any text is looked up.
    branch: (atom.branch === '' ? 'master' : atom.branch) as BranchName,
    glob: atom.glob,
    lazy: atom.lazy,
    ...(atom.fromCommit === '' ? {} : { fromCommit: parseCommitId(atom.fromCommit) }),
  }
}

function refuseTwoBranches(atoms: readonly AtomInput[]): void {
  const branches = new Map<string, string>()
  for (const { repo, branch } of atoms) {
    const other = branches.get(repo)
    if (other !== undefined && other !== branch) {
      throw new InvalidArgumentError(
        `cannot use the same repo in multiple inputs with different branches: ${repo} with ${other} and ${branch}`,
      )
    }
    branches.set(repo, branch)
  }
}

/** The names that datums of `input` may have; members of one cross must not share any. */
function namesOf(input: Input): ReadonlySet<string> {
  if (input.kind === 'atom') return new Set([input.name])
  const names = new Set<string>()
  for (const member of input.members) {
    for (const name of namesOf(member)) {
      if (input.kind === 'cross' && names.has(name)) {
        throw new InvalidArgumentError(
          `name ${name} was used more than once; give one of the inputs another "name"`,
        )
      }
      names.add(name)
    }
  }
  return names
}
