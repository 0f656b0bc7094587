import { compareBytes, concatBytes, copyBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import type { Turns } from '../../base/turns.ts'
import { baseName, type FilePath, parentPath, pathOfKey } from '../../base/paths.ts'
import { type Content, type Contents, contentSizeBytes } from '../../storage/contents.ts'
import type { TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import type { StagedConflict } from './conflicts.ts'
import { Position } from './position.ts'
import type { RunRecord } from './runs.ts'

export interface BulkPorts {
  readonly contents: Contents
  /** The entry in the tree that is edited. */
  readonly lookUp: (path: FilePath) => Promise<TreeEntry | undefined>
  readonly turns: Turns
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
  for await (const file of filesOf(ports, records)) {
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

/** Contents up to this size are gathered, up to that many bytes, before they are appended. */
const smallBytesMax = 64 * 1024
const joinedBytesMax = 1024 * 1024

/**
 * Joins the records of equal keys. Small contents are gathered, so that a thousand appends of a byte are one and
 * not a thousand, each longer than the last.
 */
async function* filesOf(
  { contents, turns }: Pick<BulkPorts, 'contents' | 'turns'>,
  records: AsyncIterable<RunRecord>,
): AsyncGenerator<MergedFile> {
  let current: RunRecord | undefined
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  const settled = async (record: RunRecord): Promise<RunRecord> => {
    if (pending.length === 0) return record
    const tail = await contents.writeBytes(concatBytes(pending))
    pending = []
    pendingBytes = 0
    return { ...record, content: await contents.append(record.content, tail) }
  }
  for await (const record of records) {
    const turn = turns.nextOfMany()
    if (turn !== undefined) await turn
    if (current === undefined) {
      current = record
      continue
    }
    const order = compareBytes(current.key, record.key)
    assert(order <= 0, 'the records of a bulk write are sorted')
    if (order < 0) {
      yield mergedFile(pending.length > 0 ? await settled(current) : current)
      current = record
    } else if (record.overwrite) {
      current = record
      pending = []
      pendingBytes = 0
    } else if (contentSizeBytes(record.content) <= smallBytesMax) {
      for await (const bytes of contents.read(record.content)) pending.push(copyBytes(bytes))
      pendingBytes += contentSizeBytes(record.content)
      if (pendingBytes >= joinedBytesMax) current = await settled(current)
    } else {
      const { key, overwrite, content } = await settled(current)
      current = { key, overwrite, content: await contents.append(content, record.content) }
    }
  }
  if (current !== undefined) yield mergedFile(await settled(current))
}

function mergedFile(record: RunRecord): MergedFile {
  return {
    path: pathOfKey(record.key),
    overwrite: record.overwrite,
    content: record.content,
  }
}
