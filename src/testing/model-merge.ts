import { isDeepStrictEqual } from 'node:util'
import type { ModelCommit } from './model-commit.ts'

/** A file as its text, or a directory. */
type Entry = string | Directory
type Directory = Map<string, Entry>

/** What a merge makes, and how many paths both sides changed differently. */
export interface ModelMerge {
  readonly files: Map<string, string>
  readonly directories: Set<string>
  readonly conflictCount: number
}

/** Brings what theirs changed since the base into ours; keeps ours where both changed. */
export function mergeModels(
  base: ModelCommit | undefined,
  ours: ModelCommit,
  theirs: ModelCommit | undefined,
): ModelMerge {
  const counter = { conflicts: 0 }
  const merged = mergeDirectories(
    base && nested(base),
    nested(ours),
    theirs === undefined ? new Map() : nested(theirs),
    counter,
  )
  const [files, directories] = [new Map<string, string>(), new Set<string>()]
  flatten(merged, '', files, directories)
  return { files, directories, conflictCount: counter.conflicts }
}

function mergeDirectories(
  base: Directory | undefined,
  ours: Directory,
  theirs: Directory,
  counter: { conflicts: number },
): Directory {
  const merged: Directory = new Map()
  for (const name of new Set([...ours.keys(), ...theirs.keys()])) {
    const [before, our, their] = [base?.get(name), ours.get(name), theirs.get(name)]
    const entry = mergeEntries(before, our, their, counter)
    if (entry !== undefined) merged.set(name, entry)
  }
  return merged
}

function mergeEntries(
  base: Entry | undefined,
  ours: Entry | undefined,
  theirs: Entry | undefined,
  counter: { conflicts: number },
): Entry | undefined {
  if (isDeepStrictEqual(ours, theirs) || isDeepStrictEqual(base, theirs)) return ours
  if (isDeepStrictEqual(base, ours)) return theirs
  if (ours instanceof Map && theirs instanceof Map) {
    return mergeDirectories(base instanceof Map ? base : undefined, ours, theirs, counter)
  }
  counter.conflicts += 1
  return ours
}

function nested({ files, directories }: ModelCommit): Directory {
  const root: Directory = new Map()
  const directoryAt = (path: string): Directory => {
    let directory = root
    for (const name of path.split('/').slice(1)) {
      const below = directory.get(name)
      const next = below instanceof Map ? below : new Map<string, Entry>()
      directory.set(name, next)
      directory = next
    }
    return directory
  }
  for (const path of directories) directoryAt(path)
  for (const [path, text] of files) {
    const end = path.lastIndexOf('/')
    directoryAt(path.slice(0, end)).set(path.slice(end + 1), text)
  }
  return root
}

function flatten(
  directory: Directory,
  path: string,
  files: Map<string, string>,
  directories: Set<string>,
): void {
  directories.add(path)
  for (const [name, entry] of directory) {
    if (typeof entry === 'string') files.set(`${path}/${name}`, entry)
    else flatten(entry, `${path}/${name}`, files, directories)
  }
}
