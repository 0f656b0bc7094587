import { compareBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import { baseName, type FilePath, parentPath, pathOfKey } from '../../base/paths.ts'
import type { Content, Contents } from '../../storage/contents.ts'
import type { TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import type { StagedConflict } from './conflicts.ts'
import { Position } from './position.ts'
import type { RunRecord } from './runs.ts'

export interface BulkPorts {
  readonly contents: Contents
  /** The entry in the tree that is edited. */
  readonly lookUp: (path: FilePath) => Promise<TreeEntry | undefined>
}

/**
 * The edits that a bulk write makes to a tree: its sorted records, those of one path as one.
 * Conflicts, with the tree and among the records, go to `onConflict`, and their records nowhere.
 * Holds the names above the current path.
 */
export async function* bulkEdits(
  ports: BulkPorts,
  records: AsyncIterable<RunRecord>,
  onConflict: (conflict: StagedConflict) => void,
): AsyncGenerator<TreeEdit> {
  const position = new Position(ports.lookUp)
  for await (const file of filesOf(ports.contents, records)) {
    const obstacle = await position.enter(parentPath(file.path))
    if (obstacle !== undefined) {
      onConflict({ path: file.path, obstacle })
      continue
    }
    const entry = await position.lookUp(baseName(file.path))
    if (entry?.kind === 'directory') {
      onConflict({ path: file.path, obstacle: file.path })
      continue
    }
    const content =
      entry === undefined || file.overwrite
        ? file.content
        : await ports.contents.append(entry.content, file.content)
    position.lastFile = file.path
    yield { path: file.path, entry: { kind: 'file', content } }
  }
}

interface MergedFile {
  readonly path: FilePath
  /** Replaces what is there, rather than appending to it. */
  readonly overwrite: boolean
  readonly content: Content
}

/** Joins the records of equal keys. */
async function* filesOf(
  contents: Contents,
  records: AsyncIterable<RunRecord>,
): AsyncGenerator<MergedFile> {
  let current: RunRecord | undefined
  for await (const record of records) {
    if (current === undefined) {
      current = record
      continue
    }
    const order = compareBytes(current.key, record.key)
    assert(order <= 0, 'the records of a bulk write are sorted')
    if (order < 0) {
      yield mergedFile(current)
      current = record
    } else if (record.overwrite) {
      current = record
    } else {
      const content = await contents.append(current.content, record.content)
      current = { key: current.key, overwrite: current.overwrite, content }
    }
  }
  if (current !== undefined) yield mergedFile(current)
}

function mergedFile(record: RunRecord): MergedFile {
  return {
    path: pathOfKey(record.key),
    overwrite: record.overwrite,
    content: record.content,
  }
}
