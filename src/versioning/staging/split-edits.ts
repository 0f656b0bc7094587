import { compareBytes } from '../../base/bytes.ts'
import { assert, InvalidArgumentError } from '../../base/errors.ts'
import {
  baseName,
  type FilePath,
  isWithin,
  joinPath,
  parentPath,
  pathOfKey,
  rootPath,
} from '../../base/paths.ts'
import type { Contents } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import { pieceName, pieceNumberOf } from '../splits.ts'
import type { Conflicts } from './conflicts.ts'
import { Position } from './position.ts'
import type { RunRecord } from './runs.ts'

export interface SplitPorts {
  readonly contents: Contents
  readonly trees: FileTrees
  /** The tree that is edited. */
  readonly root: DirectoryEntry
}

/** The pieces of all puts to one path. */
interface SplitPut {
  readonly path: FilePath
  /** They replace what is there, rather than going on from it. */
  readonly overwrite: boolean
  /** Numbered from 0. */
  readonly pieces: DirectoryEntry
}

/**
 * The edits that a write of splits makes to a tree, from its sorted records. Pieces go on from the last
 * name in their directory. What has no place goes to `conflicts`.
 *
 * @throws {InvalidArgumentError} when one path lies in another.
 */
export async function* splitEdits(
  ports: SplitPorts,
  records: AsyncIterable<RunRecord<DirectoryEntry>>,
  conflicts: Conflicts,
): AsyncGenerator<TreeEdit> {
  const lookUp = (path: FilePath): Promise<TreeEntry | undefined> =>
    ports.trees.get(ports.root, path)
  const position = new Position(lookUp)
  let last: FilePath | undefined
  for await (const put of putsOf(ports.trees, records)) {
    const { path, overwrite, pieces } = put
    if (last !== undefined && isWithin(path, last)) throw nestedSplits(last, path)
    last = path
    if (overwrite) conflicts.repair(path)
    const obstacle = await position.enter(parentPath(path))
    if (obstacle !== undefined) {
      conflicts.add({ path, obstacle })
    } else if (overwrite) {
      yield { path, entry: pieces.fileCount === 0 ? undefined : pieces }
    } else {
      const there = path === rootPath ? ports.root : await position.lookUp(baseName(path))
      yield* continuing({ ...ports, lookUp }, put, there, conflicts)
    }
  }
}

function nestedSplits(outer: FilePath, inner: FilePath): InvalidArgumentError {
  return new InvalidArgumentError(
    `cannot split to "${outer === rootPath ? '/' : outer}" and to "${inner}" in one call, for one lies in the other: use a call for each`,
  )
}

/** Joins the records of equal keys. */
async function* putsOf(
  trees: FileTrees,
  records: AsyncIterable<RunRecord<DirectoryEntry>>,
): AsyncGenerator<SplitPut> {
  let current: RunRecord<DirectoryEntry> | undefined
  for await (const record of records) {
    const order = current === undefined ? -1 : compareBytes(current.key, record.key)
    assert(order <= 0, 'the records of a bulk write are sorted')
    if (current !== undefined && order < 0) yield putOf(current)
    current =
      current === undefined || order < 0 || record.overwrite
        ? record
        : { ...current, content: await joined(trees, current.content, record.content) }
  }
  if (current !== undefined) yield putOf(current)
}

function putOf({ key, overwrite, content }: RunRecord<DirectoryEntry>): SplitPut {
  return { path: pathOfKey(key), overwrite, pieces: content }
}

/** The pieces of both, numbered on. */
async function joined(
  trees: FileTrees,
  head: DirectoryEntry,
  tail: DirectoryEntry,
): Promise<DirectoryEntry> {
  const edits = renumbered(trees, tail, rootPath, head.fileCount)
  return trees.edit(head, edits, { emptied: 'keep' })
}

async function* renumbered(
  trees: FileTrees,
  pieces: DirectoryEntry,
  path: FilePath,
  first: number,
): AsyncGenerator<TreeEdit> {
  let number = first
  for await (const { entry } of trees.list(pieces, rootPath)) {
    yield { path: joinPath(path, pieceName(number)), entry }
    number += 1
  }
}

type ContinuingPorts = SplitPorts & {
  readonly lookUp: (path: FilePath) => Promise<TreeEntry | undefined>
}

async function* continuing(
  ports: ContinuingPorts,
  { path, pieces }: SplitPut,
  there: TreeEntry | undefined,
  conflicts: Conflicts,
): AsyncGenerator<TreeEdit> {
  if (there?.kind === 'file') {
    conflicts.add({ path, obstacle: path, split: { onto: 'file' } })
    return
  }
  const last = there && (await ports.trees.lastName(there))
  if (last === undefined) {
    yield { path, entry: pieces }
    return
  }
  const number = pieceNumberOf(last)
  if (number === undefined) {
    conflicts.add({ path, obstacle: path, split: { onto: 'directory', lastName: last } })
    return
  }
  const edits = renumbered(ports.trees, pieces, path, number + 1)
  if (last === pieceName(number)) yield* edits
  else yield* ontoFiles(ports, edits, conflicts)
}

/**
 * Behind a last name that is not written as pieces are named, there may be files of the next names: they
 * are appended to, as by any put.
 */
async function* ontoFiles(
  { contents, lookUp }: ContinuingPorts,
  edits: AsyncIterable<TreeEdit>,
  conflicts: Conflicts,
): AsyncGenerator<TreeEdit> {
  for await (const { path, entry } of edits) {
    const there = await lookUp(path)
    if (there === undefined) yield { path, entry }
    else if (there.kind === 'directory') conflicts.add({ path, obstacle: path })
    else {
      assert(entry?.kind === 'file', 'a piece is a file')
      const content = await contents.append(there.content, entry.content)
      yield { path, entry: { kind: 'file', content } }
    }
  }
}
