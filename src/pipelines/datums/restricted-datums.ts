import { type Glob, literalComponent } from '../../base/globs.ts'
import type { RepoName } from '../../base/names.ts'
import { pathNames, type FilePath } from '../../base/paths.ts'
import type { DirectoryEntry, FileTrees, PathEntry } from '../../storage/file-trees.ts'
import type { MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import type { Datum, DatumMember } from '../datums.ts'
import { datumSource } from '../discovery/discovery.ts'
import { IndexReader } from '../discovery/index-reader.ts'
import { matchingInputs } from '../discovery/match-index.ts'
import { atomsOf, type AtomInput, type Input } from '../inputs.ts'
import type { InputTreesOfJob } from './member-entries.ts'

/** What a job reads. */
export interface ReadInputs {
  readonly input: Input
  readonly trees: InputTreesOfJob
  /** For an input with joins or groups; see `JobRecord`. */
  readonly matches: MapRoot | undefined
}

/** What it is read with. */
export interface ReadPorts {
  readonly trees: FileTrees
  readonly maps: ProllyMaps
}

/**
 * The datums of a job, at their places, when each atom matches nothing but what `members` has of
 * it: the datum that is made of them, and few others. Cost: a look along each path; of joins and
 * groups that may have made it, all of their datums.
 */
export function datumsAmong(
  ports: ReadPorts,
  inputs: ReadInputs,
  members: readonly DatumMember[],
): AsyncIterable<Datum> {
  const given = new Set(members.map(({ input }) => input))
  const mayMatch = ({ name }: AtomInput): boolean => given.has(name)
  return restrictedDatums(ports, inputs, mayMatch, async function* only(atoms, root, glob) {
    const names = new Set(atoms.map(({ name }) => name))
    const paths = members.filter(({ input }) => names.has(input)).map(({ path }) => path)
    for (const path of new Set(paths)) {
      const entry = glob.matches(path) ? await ports.trees.get(root, path) : undefined
      if (entry !== undefined) yield { path, entry }
    }
  })
}

/**
 * The datums of a job, at their places, in which `atom` may match `path`, something below it, or
 * a directory that it is in. A few others may come. Cost: these datums; of joins and groups that
 * `atom` is in or beside, all of their datums.
 */
export function datumsAround(
  ports: ReadPorts,
  inputs: ReadInputs,
  { atom, path }: { readonly atom: AtomInput; readonly path: FilePath },
): AsyncIterable<Datum> {
  const needed = new Set(atomsBeside(inputs.input, atom))
  const isNeeded = (one: AtomInput): boolean => needed.has(one)
  const narrowed = { ...inputs, input: withBranchesOf(inputs.input, atom) }
  return restrictedDatums(ports, narrowed, isNeeded, async function* around(atoms, root, glob) {
    // One of them may need all matches beside the file.
    const isAlone = atoms.every((one) => one === atom)
    const narrow = isAlone ? globAround(glob, path) : glob
    if (narrow !== undefined) yield* ports.trees.glob(root, narrow)
  })
}

type MatchesOf = (
  /** Those that read this tree through this glob. */
  atoms: readonly AtomInput[],
  root: DirectoryEntry,
  glob: Glob,
) => AsyncIterable<PathEntry>

function restrictedDatums(
  { trees, maps }: ReadPorts,
  { input, trees: inputTrees, matches }: ReadInputs,
  /** Joins and groups without such an atom have no datums. */
  isWanted: (atom: AtomInput) => boolean,
  matchesOf: MatchesOf,
): AsyncIterable<Datum> {
  const repos = new Map([...inputTrees].map(([repo, root]) => [root, repo]))
  const atoms = atomsOf(input)
  const restricted = {
    glob: (root: DirectoryEntry, glob: Glob) =>
      matchesOf(
        atoms.filter((atom) => atom.repo === repos.get(root) && atom.glob === glob.text),
        root,
        glob,
      ),
    globDiff: (before: DirectoryEntry | undefined, after: DirectoryEntry, glob: Glob) =>
      trees.globDiff(before, after, glob),
    entryHash: trees.entryHash.bind(trees),
  }
  const changeOf = (repo: RepoName) => {
    const after = inputTrees.get(repo)
    if (after === undefined) throw new Error(`invariant broken: job reads no commit of ${repo}`)
    return { before: undefined, after }
  }
  const wanted = matchingInputs(input).flatMap((matching, number) =>
    matching.members.some(isWanted) ? [number] : [],
  )
  const index =
    matches && new IndexReader(maps, { before: undefined, after: matches }, new Set(wanted))
  return datumSource(input, { trees: restricted, changeOf, index }).after()
}

/** `atom`, and the atoms that are with it in a datum: not those of other branches of a union. */
export function atomsBeside(input: Input, atom: AtomInput): readonly AtomInput[] {
  if (input.kind === 'atom') return [input]
  const isParted = input.kind === 'union' && atomsOf(input).includes(atom)
  const members = isParted
    ? input.members.filter((branch) => atomsOf(branch).includes(atom))
    : input.members
  return members.flatMap((member) => atomsBeside(member, atom))
}

/** Without atoms in the branches of unions that `atom` is not in; all else is where it was. */
function withBranchesOf(input: Input, atom: AtomInput): Input {
  if (input.kind !== 'union' && input.kind !== 'cross') return input
  const isParted = input.kind === 'union' && atomsOf(input).includes(atom)
  const members = input.members.map((member) =>
    isParted && !atomsOf(member).includes(atom) ? emptied(member) : withBranchesOf(member, atom),
  )
  return { kind: input.kind, members }
}

/** Its joins and groups stay, since they are known by their number. */
function emptied(input: Input): Input {
  if (input.kind === 'join' || input.kind === 'group') return input
  return { kind: 'union', members: input.kind === 'atom' ? [] : input.members.map(emptied) }
}

/**
 * `glob` for what it matches at, above or below `path` only; undefined when that is nothing. A glob
 * matches paths of as many names as it has components.
 */
export function globAround(glob: Glob, path: FilePath): Glob | undefined {
  const names = pathNames(path).slice(0, glob.components.length)
  if (!names.every((name, index) => glob.components[index]?.matches(name))) return undefined
  const components = [...names.map(literalComponent), ...glob.components.slice(names.length)]
  return { ...glob, components }
}
