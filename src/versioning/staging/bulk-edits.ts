import { Batched } from '../../base/batched.ts'
import { compareBytes, concatBytes, copyBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import type { Turns } from '../../base/turns.ts'
import { baseName, type FilePath, parentPath, pathOfKey } from '../../base/paths.ts'
import { type Contents, contentSizeBytes } from '../../storage/contents.ts'
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
 * Holds a batch, and the names above the current path.
 */
export function bulkEdits(
  ports: BulkPorts,
  records: Batched<RunRecord>,
  onConflict: (conflict: StagedConflict) => void,
): Batched<TreeEdit> {
  return new Batched(new BulkEditor(ports, onConflict).edits(records.batches))
}

/** Contents up to this size are gathered, up to that many bytes, before they are appended. */
const smallBytesMax = 64 * 1024
const joinedBytesMax = 1024 * 1024

class BulkEditor {
  readonly #ports: BulkPorts
  readonly #position: Position
  readonly #onConflict: (conflict: StagedConflict) => void
  /** What is to be appended to the record that is being joined. */
  #pending: Uint8Array[] = []
  #pendingBytes = 0

  constructor(ports: BulkPorts, onConflict: (conflict: StagedConflict) => void) {
    this.#ports = ports
    this.#position = new Position(ports.lookUp)
    this.#onConflict = onConflict
  }

  async *edits(batches: AsyncIterable<readonly RunRecord[]>): AsyncGenerator<readonly TreeEdit[]> {
    let current: RunRecord | undefined
    for await (const batch of batches) {
      const turn = this.#ports.turns.nextOfMany(batch.length)
      if (turn !== undefined) await turn
      const edits: TreeEdit[] = []
      for (const record of batch) {
        const order = current === undefined ? -1 : compareBytes(current.key, record.key)
        assert(order <= 0, 'the records of a bulk write are sorted')
        if (current !== undefined && order === 0) {
          current = await this.#joined(current, record)
          continue
        }
        // Not awaited where there is nothing to wait for: of a million records, each would pay for it.
        const edited = current === undefined ? undefined : this.#editOf(current)
        const edit = edited instanceof Promise ? await edited : edited
        if (edit !== undefined) edits.push(edit)
        current = record
      }
      if (edits.length > 0) yield edits
    }
    const last = current === undefined ? undefined : await this.#editOf(current)
    if (last !== undefined) yield [last]
  }

  /**
   * `next`, of the same path, on top of `record`. Small contents are gathered, so that a thousand appends of a
   * byte are one and not a thousand, each longer than the last.
   */
  async #joined(record: RunRecord, next: RunRecord): Promise<RunRecord> {
    const { contents } = this.#ports
    if (next.overwrite) {
      this.#pending = []
      this.#pendingBytes = 0
      return next
    }
    if (contentSizeBytes(next.content) > smallBytesMax) {
      const settled = await this.#settled(record)
      return { ...settled, content: await contents.append(settled.content, next.content) }
    }
    for await (const bytes of contents.read(next.content)) this.#pending.push(copyBytes(bytes))
    this.#pendingBytes += contentSizeBytes(next.content)
    return this.#pendingBytes < joinedBytesMax ? record : this.#settled(record)
  }

  async #settled(record: RunRecord): Promise<RunRecord> {
    if (this.#pending.length === 0) return record
    const { contents } = this.#ports
    const tail = await contents.writeBytes(concatBytes(this.#pending))
    this.#pending = []
    this.#pendingBytes = 0
    return { ...record, content: await contents.append(record.content, tail) }
  }

  /** The edit of a record to which nothing comes any more; undefined for a conflict. */
  #editOf(record: RunRecord): TreeEdit | undefined | Promise<TreeEdit | undefined> {
    const { key, path = pathOfKey(key), content } = record
    const isPlain = this.#pending.length === 0 && this.#position.isNew(parentPath(path))
    if (!isPlain) return this.#editSlowly(record, path)
    this.#position.lastFile = path
    return { path, key, entry: { kind: 'file', content } }
  }

  async #editSlowly(record: RunRecord, path: FilePath): Promise<TreeEdit | undefined> {
    const { key, overwrite, content } = await this.#settled(record)
    const position = this.#position
    const obstacle = await position.enter(parentPath(path))
    if (obstacle !== undefined) {
      this.#onConflict({ path, obstacle })
      return undefined
    }
    const entry = await position.lookUp(baseName(path))
    if (entry?.kind === 'directory') {
      this.#onConflict({ path, obstacle: path })
      return undefined
    }
    const isWhole = entry === undefined || overwrite
    const whole = isWhole ? content : await this.#ports.contents.append(entry.content, content)
    position.lastFile = path
    return { path, key, entry: { kind: 'file', content: whole } }
  }
}
