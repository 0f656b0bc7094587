import { compareBytes, concatBytes } from '../../base/bytes.ts'
import { DataLossError } from '../../base/errors.ts'
import { pathKey, pathOfKey, type FilePath } from '../../base/paths.ts'
import type { FileTrees, DirectoryEntry, PathEntry } from '../../storage/file-trees.ts'

// A path's key ends where two NUL bytes follow: within it, a NUL is followed by a name, and no name
// is empty or starts with NUL. So a path's contributions come right before those of paths below it.
const endOfPath: Uint8Array = Uint8Array.of(0, 0)
const belowPath: Uint8Array = Uint8Array.of(0, 1)
const afterPath: Uint8Array = Uint8Array.of(1)

/**
 * The key under which a job's contributions hold what the datum at `orderKey` wrote to `path`.
 * Layout: `docs/formats/datums.md`.
 */
export function contributionKey(path: FilePath, orderKey: Uint8Array): Uint8Array {
  return concatBytes([pathKey(path), endOfPath, orderKey])
}

/** Where contributions to a path begin, where those below it begin, and where these end. */
export interface ContributionRange {
  readonly from: Uint8Array
  readonly below: Uint8Array
  readonly to: Uint8Array
}

export function contributionRange(path: FilePath): ContributionRange {
  const key = pathKey(path)
  return {
    from: concatBytes([key, endOfPath]),
    below: concatBytes([key, belowPath]),
    to: concatBytes([key, afterPath]),
  }
}

/** The order key in the key of some path's contribution. */
export function orderKeyOf(key: Uint8Array): Uint8Array {
  return key.subarray(pathEnd(key) + endOfPath.length)
}

/** The path in its key. */
export function pathOfContribution(key: Uint8Array): FilePath {
  return pathOfKey(key.subarray(0, pathEnd(key)))
}

function pathEnd(key: Uint8Array): number {
  for (let at = 0; at + 1 < key.length; at += 1) {
    if (key[at] === 0 && key[at + 1] === 0) return at
  }
  throw new DataLossError("a key of a job's contributions has no end of path")
}

/** Something that a datum did to a path: `undefined` where it has nothing there. */
export interface LeafChange {
  readonly path: FilePath
  readonly before: PathEntry['entry'] | undefined
  readonly after: PathEntry['entry'] | undefined
}

/**
 * The leaves (files and empty directories) that differ between two outputs of a datum, in tree
 * order. Reads both outputs; a directory that has something in it is not a leaf.
 */
export async function* leafChanges(
  trees: FileTrees,
  before: DirectoryEntry | undefined,
  after: DirectoryEntry | undefined,
): AsyncGenerator<LeafChange> {
  await using old = new Leaves(trees, before)
  await using now = new Leaves(trees, after)
  let [left, right] = [await old.next(), await now.next()]
  while (left !== undefined || right !== undefined) {
    const order = compareLeaves(left, right)
    if (order === 0 && left !== undefined && right !== undefined) {
      const same =
        compareBytes(trees.entryHash(left.entry), trees.entryHash(right.entry)) === 0 &&
        left.entry.kind === right.entry.kind
      if (!same) yield { path: right.path, before: left.entry, after: right.entry }
    } else if (order < 0 && left !== undefined) {
      yield { path: left.path, before: left.entry, after: undefined }
    } else if (right !== undefined) {
      yield { path: right.path, before: undefined, after: right.entry }
    }
    if (order <= 0) left = await old.next()
    if (order >= 0) right = await now.next()
  }
}

/** Order of tree paths; what is missing comes last. */
function compareLeaves(left: PathEntry | undefined, right: PathEntry | undefined): number {
  if (left === undefined) return right === undefined ? 0 : 1
  if (right === undefined) return -1
  return compareBytes(pathKey(left.path), pathKey(right.path))
}

/** The leaves of one tree, one at a time. */
class Leaves implements AsyncDisposable {
  readonly #leaves: AsyncGenerator<PathEntry>

  constructor(trees: FileTrees, root: DirectoryEntry | undefined) {
    this.#leaves = leavesOf(trees, root)
  }

  async next(): Promise<PathEntry | undefined> {
    const step = await this.#leaves.next()
    return step.done === true ? undefined : step.value
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leaves.return(undefined)
  }
}

async function* leavesOf(
  trees: FileTrees,
  root: DirectoryEntry | undefined,
): AsyncGenerator<PathEntry> {
  if (root === undefined) return
  let directory: PathEntry | undefined
  for await (const found of trees.walk(root, { directories: true })) {
    // A directory is empty when the next path is not in it.
    if (directory !== undefined && !found.path.startsWith(`${directory.path}/`)) yield directory
    directory = undefined
    if (found.entry.kind === 'file') yield found
    else if (found.path !== '') directory = found
  }
  if (directory !== undefined) yield directory
}
