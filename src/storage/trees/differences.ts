import type { Glob } from '../../base/globs.ts'
import { equalBytes, utf8 } from '../../base/bytes.ts'
import { flat, Nested, type NestedItems } from '../../base/nested.ts'
import { type FilePath, joinPath, rootPath } from '../../base/paths.ts'
import { chunkIdBytes } from '../chunk-id.ts'
import { contentHash } from '../content-hash.ts'
import type {
  DirectoryEntry,
  NamedEntry,
  PathDifference,
  PathEntry,
  TreeEntry,
} from '../tree-entries.ts'
import type { Directories, NameDifference } from './directories.ts'

/** 32 bytes: equal files have equal hashes, and so have equal directories. */
export function entryHash(entry: TreeEntry): Uint8Array {
  return entry.kind === 'file' ? contentHash(entry.content) : chunkIdBytes(entry.root)
}

function isSame(left: TreeEntry | undefined, right: TreeEntry | undefined): boolean {
  if (left === undefined || right === undefined) return left === right
  return left.kind === right.kind && equalBytes(entryHash(left), entryHash(right))
}

function asDirectory(entry: TreeEntry | undefined): DirectoryEntry | undefined {
  return entry?.kind === 'directory' ? entry : undefined
}

function asFile(entry: TreeEntry | undefined): TreeEntry | undefined {
  return entry?.kind === 'file' ? entry : undefined
}

/** Batches of items, with sequences of them in the place of directories that are gone into. */
type Nesting<Item> = AsyncGenerator<readonly Item[] | Nested<NestedItems<readonly Item[]>>>

/** The items in runs, and in the place of those that `open` knows a sequence for, that. */
function* runs<Item>(
  items: readonly Item[],
  open: (item: Item) => (() => Nesting<Item>) | undefined,
): Generator<readonly Item[] | Nested<NestedItems<readonly Item[]>>> {
  let run: Item[] = []
  for (const item of items) {
    const nested = open(item)
    if (nested === undefined) {
      run.push(item)
      continue
    }
    if (run.length > 0) yield run
    yield new Nested(nested)
    run = []
  }
  if (run.length > 0) yield run
}

/**
 * Files that differ at and below two entries, by their paths from there. `lone`: directories that only one
 * side has come as such where they are to be whole, else their files do.
 */
export function diffFiles(
  directories: Directories,
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
  lone: 'files' | 'whole',
): AsyncGenerator<readonly PathDifference[]> {
  return flat(diffFilesBelow(directories, { path: rootPath, before, after }, lone))
}

async function* diffFilesBelow(
  directories: Directories,
  { path, before, after }: PathDifference,
  lone: 'files' | 'whole',
): Nesting<PathDifference> {
  if (isSame(before, after)) return
  if (before?.kind === 'file' || after?.kind === 'file') {
    yield [{ path, before: asFile(before), after: asFile(after) }]
  }
  const [left, right] = [asDirectory(before), asDirectory(after)]
  if (left === undefined && right === undefined) return
  if (lone === 'whole' && (left === undefined || right === undefined)) {
    yield [{ path, before: left, after: right }]
    return
  }
  for await (const found of directories.differences(left, right)) {
    yield* runs(found.map(at(path)), (below) =>
      below.before?.kind === 'directory' || below.after?.kind === 'directory'
        ? () => diffFilesBelow(directories, below, lone)
        : undefined,
    )
  }
}

function at(path: FilePath): (difference: NameDifference) => PathDifference {
  return ({ name, before, after }) => ({ path: joinPath(path, name), before, after })
}

/** All files at and below an entry, depth first; with `directories`, each of these before what is in it. */
export function walkTree(
  directories: Directories,
  start: PathEntry,
  options: { readonly directories: boolean },
): AsyncGenerator<readonly PathEntry[]> {
  return flat(walkBelow(directories, start, options))
}

async function* walkBelow(
  directories: Directories,
  found: PathEntry,
  options: { readonly directories: boolean },
): Nesting<PathEntry> {
  const { path, entry } = found
  if (options.directories || entry.kind === 'file') yield [found]
  if (entry.kind === 'file') return
  for await (const entries of directories.entries(entry)) {
    const members = entries.map(({ name, entry: below }) => ({
      path: joinPath(path, name),
      entry: below,
    }))
    yield* runs(members, (member) =>
      member.entry.kind === 'directory' ? () => walkBelow(directories, member, options) : undefined,
    )
  }
}

/** What differs one level below two entries, directories as such; at the entries if one is a file. */
export async function* diffShallow(
  directories: Directories,
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
): AsyncGenerator<readonly PathDifference[]> {
  if (isSame(before, after)) return
  if (before?.kind === 'file' || after?.kind === 'file') {
    yield [{ path: rootPath, before: asFile(before), after: asFile(after) }]
  }
  const [left, right] = [asDirectory(before), asDirectory(after)]
  for await (const found of directories.differences(left, right)) yield found.map(at(rootPath))
}

/** What a glob matches, in tree order; descends only where it can match. */
export async function* globTree(
  directories: Directories,
  root: DirectoryEntry,
  glob: Glob,
): AsyncGenerator<readonly PathEntry[]> {
  if (glob.components.length === 0) yield [{ path: rootPath, entry: root }]
  else yield* flat(globBelow(directories, { path: rootPath, directory: root }, glob, 0))
}

async function* globBelow(
  directories: Directories,
  { path, directory }: { readonly path: FilePath; readonly directory: DirectoryEntry },
  glob: Glob,
  depth: number,
): Nesting<PathEntry> {
  const component = glob.components[depth]
  if (component === undefined) return
  const found =
    component.literal === undefined
      ? directories.entries(directory, rangeOf(component.prefix))
      : literalEntry(directories, directory, component.literal)
  for await (const entries of found) {
    const matches = entries
      .filter(({ name }) => component.matches(name))
      .map(({ name, entry }) => ({ path: joinPath(path, name), entry }))
    if (depth + 1 === glob.components.length) {
      if (matches.length > 0) yield matches
      continue
    }
    for (const { path: below, entry } of matches) {
      if (entry.kind === 'file') continue
      yield new Nested(() =>
        globBelow(directories, { path: below, directory: entry }, glob, depth + 1),
      )
    }
  }
}

async function* literalEntry(
  directories: Directories,
  directory: DirectoryEntry,
  name: string,
): AsyncGenerator<readonly NamedEntry[]> {
  const entry = await directories.entry(directory, name)
  if (entry !== undefined) yield [{ name, entry }]
}

/** The names that begin with `prefix`. */
function rangeOf(prefix: string): { from?: Uint8Array; to?: Uint8Array } {
  if (prefix === '') return {}
  const from = utf8(prefix)
  const to = from.slice()
  // UTF-8 holds no byte 0xff, so the last byte can always grow.
  to[to.length - 1] = (to.at(-1) ?? 0) + 1
  return { from, to }
}

/** Matches of a glob that differ, each whole, in tree order; visits changed directories only. */
export async function* globDifferences(
  directories: Directories,
  before: DirectoryEntry | undefined,
  after: DirectoryEntry | undefined,
  glob: Glob,
): AsyncGenerator<readonly PathDifference[]> {
  if (glob.components.length > 0) {
    yield* flat(globDifferencesBelow(directories, { path: rootPath, before, after }, glob, 0))
  } else if (!isSame(before, after)) {
    yield [{ path: rootPath, before, after }]
  }
}

async function* globDifferencesBelow(
  directories: Directories,
  { path, before, after }: PathDifference,
  glob: Glob,
  depth: number,
): Nesting<PathDifference> {
  const component = glob.components[depth]
  const [left, right] = [asDirectory(before), asDirectory(after)]
  if (component === undefined || left?.root === right?.root) return
  const found =
    component.literal === undefined
      ? directories.differences(left, right)
      : literalDifference(directories, left, right, component.literal)
  for await (const names of found) {
    const matches = names.filter(({ name }) => component.matches(name)).map(at(path))
    if (depth + 1 === glob.components.length) {
      if (matches.length > 0) yield matches
      continue
    }
    for (const below of matches) {
      yield new Nested(() => globDifferencesBelow(directories, below, glob, depth + 1))
    }
  }
}

async function* literalDifference(
  directories: Directories,
  left: DirectoryEntry | undefined,
  right: DirectoryEntry | undefined,
  name: string,
): AsyncGenerator<readonly NameDifference[]> {
  const before = left === undefined ? undefined : await directories.entry(left, name)
  const after = right === undefined ? undefined : await directories.entry(right, name)
  if (!isSame(before, after)) yield [{ name, before, after }]
}
