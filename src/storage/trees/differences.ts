import type { Glob } from '../../base/globs.ts'
import { equalBytes, utf8 } from '../../base/bytes.ts'
import { flat, Nested, type NestedItems } from '../../base/nested.ts'
import { type FilePath, joinPath, rootPath } from '../../base/paths.ts'
import { chunkIdBytes } from '../chunk-id.ts'
import { contentHash } from '../content-hash.ts'
import type { DirectoryEntry, PathDifference, PathEntry, TreeEntry } from '../tree-entries.ts'
import type { Directories } from './directories.ts'

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

type Nesting<Item> = AsyncGenerator<Item | Nested<NestedItems<Item>>>

/**
 * Files that differ at and below two entries, by their paths from there. `lone`: directories that only one
 * side has come as such where they are to be whole, else their files do.
 */
export function diffFiles(
  directories: Directories,
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
  lone: 'files' | 'whole',
): AsyncGenerator<PathDifference> {
  return flat(diffFilesBelow(directories, { path: rootPath, before, after }, lone))
}

async function* diffFilesBelow(
  directories: Directories,
  { path, before, after }: PathDifference,
  lone: 'files' | 'whole',
): Nesting<PathDifference> {
  if (isSame(before, after)) return
  if (before?.kind === 'file' || after?.kind === 'file') {
    yield { path, before: asFile(before), after: asFile(after) }
  }
  const [left, right] = [asDirectory(before), asDirectory(after)]
  if (left === undefined && right === undefined) return
  if (lone === 'whole' && (left === undefined || right === undefined)) {
    yield { path, before: left, after: right }
    return
  }
  for await (const { name, ...entries } of directories.differences(left, right)) {
    const below = { path: joinPath(path, name), ...entries }
    if (below.before?.kind !== 'directory' && below.after?.kind !== 'directory') yield below
    else yield new Nested(() => diffFilesBelow(directories, below, lone))
  }
}

/** What differs one level below two entries, directories as such; at the entries if one is a file. */
export async function* diffShallow(
  directories: Directories,
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
): AsyncGenerator<PathDifference> {
  if (isSame(before, after)) return
  if (before?.kind === 'file' || after?.kind === 'file') {
    yield { path: rootPath, before: asFile(before), after: asFile(after) }
  }
  const [left, right] = [asDirectory(before), asDirectory(after)]
  for await (const { name, ...entries } of directories.differences(left, right)) {
    yield { path: joinPath(rootPath, name), ...entries }
  }
}

/** What a glob matches, in tree order; descends only where it can match. */
export async function* globTree(
  directories: Directories,
  root: DirectoryEntry,
  glob: Glob,
): AsyncGenerator<PathEntry> {
  if (glob.components.length === 0) yield { path: rootPath, entry: root }
  else yield* flat(globBelow(directories, { path: rootPath, directory: root }, glob, 0))
}

async function* globBelow(
  directories: Directories,
  at: { readonly path: FilePath; readonly directory: DirectoryEntry },
  glob: Glob,
  depth: number,
): Nesting<PathEntry> {
  const component = glob.components[depth]
  if (component === undefined) return
  const isLast = depth + 1 === glob.components.length
  if (component.literal !== undefined) {
    const entry = await directories.entry(at.directory, component.literal)
    if (entry === undefined) return
    const path = joinPath(at.path, component.literal)
    if (isLast) yield { path, entry }
    else if (entry.kind === 'directory') {
      yield new Nested(() => globBelow(directories, { path, directory: entry }, glob, depth + 1))
    }
    return
  }
  for await (const { name, entry } of directories.entries(
    at.directory,
    rangeOf(component.prefix),
  )) {
    if (!component.matches(name)) continue
    const path = joinPath(at.path, name)
    if (isLast) yield { path, entry }
    else if (entry.kind === 'directory') {
      yield new Nested(() => globBelow(directories, { path, directory: entry }, glob, depth + 1))
    }
  }
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
): AsyncGenerator<PathDifference> {
  if (glob.components.length > 0) {
    yield* flat(globDifferencesBelow(directories, { path: rootPath, before, after }, glob, 0))
  } else if (!isSame(before, after)) {
    yield { path: rootPath, before, after }
  }
}

async function* globDifferencesBelow(
  directories: Directories,
  at: PathDifference,
  glob: Glob,
  depth: number,
): Nesting<PathDifference> {
  const component = glob.components[depth]
  const [left, right] = [asDirectory(at.before), asDirectory(at.after)]
  if (component === undefined || left?.root === right?.root) return
  const isLast = depth + 1 === glob.components.length
  const found =
    component.literal === undefined
      ? directories.differences(left, right)
      : literalDifference(directories, left, right, component.literal)
  for await (const { name, before, after } of found) {
    if (!component.matches(name)) continue
    const difference = { path: joinPath(at.path, name), before, after }
    if (isLast) yield difference
    else yield new Nested(() => globDifferencesBelow(directories, difference, glob, depth + 1))
  }
}

async function* literalDifference(
  directories: Directories,
  left: DirectoryEntry | undefined,
  right: DirectoryEntry | undefined,
  name: string,
): AsyncGenerator<{ name: string } & Omit<PathDifference, 'path'>> {
  const before = left === undefined ? undefined : await directories.entry(left, name)
  const after = right === undefined ? undefined : await directories.entry(right, name)
  if (!isSame(before, after)) yield { name, before, after }
}
