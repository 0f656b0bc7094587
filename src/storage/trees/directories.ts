import { utf8 } from '../../base/bytes.ts'
import { type FilePath, pathNames } from '../../base/paths.ts'
import { chunkIdOf } from '../chunk-id.ts'
import type { KeyRange, MapDifference, MapEdit } from '../prolly/map-entries.ts'
import { editMap } from '../prolly/edit.ts'
import { emptyLeaf } from '../prolly/level-writer.ts'
import { type ConflictResolver, mergeEdits } from '../prolly/merge.ts'
import type { NodeStore } from '../prolly/node-store.ts'
import { Node } from '../prolly/node.ts'
import { getValue, type LeafPart, scanLeaves } from '../prolly/read.ts'
import { diffTrees, TreeDiff } from '../prolly/walk.ts'
import {
  decodeTreeEntry,
  type DirectoryEntry,
  encodedTotals,
  encodeTreeEntry,
  entryTotals,
  type EntryTotals,
  inlineNodeBytesMax,
  type NamedEntry,
  type TreeEntry,
} from '../tree-entries.ts'
import { nextSteps, type WalkPace } from './walk-pace.ts'

const emptyNode = new Node(emptyLeaf())

/** The directory without entries, as it rides in a parent. */
export const emptyDirectory: DirectoryEntry = {
  kind: 'directory',
  root: chunkIdOf(emptyNode.bytes),
  inlineNode: emptyNode.bytes,
  sizeBytes: 0,
  fileCount: 0,
}

/** One name of a directory that differs. */
export interface NameDifference {
  readonly name: string
  readonly before: TreeEntry | undefined
  readonly after: TreeEntry | undefined
}

/** One level of a file tree: a map from names to entries. */
export class Directories {
  readonly #store: NodeStore
  readonly #pace: WalkPace

  constructor(store: NodeStore, pace: WalkPace = {}) {
    this.#store = store
    this.#pace = pace
  }

  /** The same, where every walk ends with a `CancelledError` once `signal` has aborted. */
  until(signal: AbortSignal | undefined): Directories {
    return signal === undefined ? this : new Directories(this.#store, { ...this.#pace, signal })
  }

  async entry(directory: DirectoryEntry, name: string): Promise<TreeEntry | undefined> {
    const value = await getValue(this.#store, await this.#node(directory), utf8(name))
    return value === undefined ? undefined : decodeTreeEntry(value)
  }

  /** What is at `path` below `root`; reads the nodes along the path only. */
  async find(root: TreeEntry, path: FilePath): Promise<TreeEntry | undefined> {
    let found: TreeEntry | undefined = root
    for (const name of pathNames(path)) {
      if (found?.kind !== 'directory') return undefined
      found = await this.entry(found, name)
    }
    return found
  }

  /** The last name in byte order; undefined in an empty directory. */
  async lastName(directory: DirectoryEntry): Promise<string | undefined> {
    const { lastKey } = await this.#node(directory)
    return lastKey === undefined ? undefined : nameOfKey(lastKey)
  }

  /** Entries in the order of their names' bytes. */
  async *entries(
    directory: DirectoryEntry,
    range: KeyRange = {},
  ): AsyncGenerator<readonly NamedEntry[]> {
    for await (const { leaf, from, to } of this.#leaves(directory, range)) {
      const entries: NamedEntry[] = []
      for (let index = from; index < to; index += 1) {
        entries.push({ name: leaf.textAt(index), entry: decodeTreeEntry(leaf.valueAt(index)) })
      }
      yield entries
    }
  }

  /** As `entries`, without what is there. */
  async *names(directory: DirectoryEntry): AsyncGenerator<readonly string[]> {
    for await (const { leaf, from, to } of this.#leaves(directory, {})) {
      const names: string[] = []
      for (let index = from; index < to; index += 1) names.push(leaf.textAt(index))
      yield names
    }
  }

  /** How many names a directory has; reads one node. */
  async nameCount(directory: DirectoryEntry): Promise<number> {
    const { entryCount } = await this.#node(directory)
    return entryCount
  }

  async *#leaves(directory: DirectoryEntry, range: KeyRange): AsyncGenerator<LeafPart> {
    await nextSteps(this.#pace, 1)
    for await (const part of scanLeaves(this.#store, await this.#node(directory), range)) {
      const turn = nextSteps(this.#pace, part.to - part.from)
      if (turn !== undefined) await turn
      yield part
    }
  }

  /** Names that differ, in the order of their bytes. An absent directory counts as empty. */
  async *differences(
    before: DirectoryEntry | undefined,
    after: DirectoryEntry | undefined,
  ): AsyncGenerator<readonly NameDifference[]> {
    if (before?.root === after?.root) return
    await nextSteps(this.#pace, 1)
    const left = before === undefined ? emptyNode : await this.#node(before)
    const right = after === undefined ? emptyNode : await this.#node(after)
    for await (const changes of diffTrees(this.#store, left, right)) {
      const turn = nextSteps(this.#pace, changes.length)
      if (turn !== undefined) await turn
      yield changes.map(nameDifference)
    }
  }

  /** The edits of names that bring their changes since `base` into ours: see `mergeEdits`. */
  async *mergeEdits(
    {
      base,
      ours,
      theirs,
    }: {
      readonly base: DirectoryEntry | undefined
      readonly ours: DirectoryEntry
      readonly theirs: DirectoryEntry
    },
    resolve: ConflictResolver,
  ): AsyncGenerator<EntryEdit> {
    await nextSteps(this.#pace, 1)
    const node = await this.#node(theirs)
    const baseNode = base === undefined ? emptyNode : await this.#node(base)
    const sinceBase = new TreeDiff(this.#store, baseNode, node)
    const fromOurs = new TreeDiff(this.#store, await this.#node(ours), node)
    const pace = (): Promise<void> | undefined => nextSteps(this.#pace, 1)
    for await (const { key, value } of mergeEdits({ sinceBase, fromOurs }, resolve, pace)) {
      yield { key, value, totals: value === undefined ? undefined : encodedTotals(value) }
    }
  }

  /**
   * Applies batches of edits of names, sorted, each name once. `onEdit` sees every edit with the totals of what
   * it replaces, and may throw to refuse it. Undefined when nothing was there and nothing came.
   */
  async edit<Edit extends EntryEdit>(
    before: DirectoryEntry | undefined,
    edits: AsyncIterable<readonly Edit[]>,
    onEdit?: (edit: Edit, replaced: EntryTotals | undefined) => void,
  ): Promise<DirectoryEntry | undefined> {
    let { sizeBytes, fileCount } = before ?? emptyDirectory
    const node = before === undefined ? emptyNode : await this.#node(before)
    const edited = await editMap(this.#store, node, edits, {
      heldBytesMax: inlineNodeBytesMax,
      onEdit: (edit: Edit, value) => {
        const replaced = value === undefined ? undefined : encodedTotals(value)
        onEdit?.(edit, replaced)
        sizeBytes += (edit.totals?.sizeBytes ?? 0) - (replaced?.sizeBytes ?? 0)
        fileCount += (edit.totals?.fileCount ?? 0) - (replaced?.fileCount ?? 0)
      },
    })
    if (edited === 'unchanged') return before
    const { id, heldBytes } = edited
    return {
      kind: 'directory',
      root: id,
      ...(heldBytes === undefined ? {} : { inlineNode: heldBytes }),
      sizeBytes,
      fileCount,
    }
  }

  /** The form of an entry that a parent holds: small directories bring their node along. */
  async inlined(entry: TreeEntry): Promise<TreeEntry> {
    if (entry.kind === 'file' || entry.inlineNode !== undefined) return entry
    const node = await this.#node(entry)
    const isSmall = node.level === 0 && node.bytes.length <= inlineNodeBytesMax
    return isSmall ? { ...entry, inlineNode: node.bytes } : entry
  }

  /** The form of a directory that stands on its own: its root node is a chunk. */
  async asRoot(directory: DirectoryEntry): Promise<DirectoryEntry> {
    const { inlineNode, ...root } = directory
    if (inlineNode !== undefined) await this.#store.put(inlineNode)
    return root
  }

  #node({ root, inlineNode }: DirectoryEntry): Node | Promise<Node> {
    return inlineNode === undefined ? this.#store.get(root) : new Node(inlineNode)
  }
}

/** An edit of one name, with what its value adds to the directory's totals. */
export interface EntryEdit extends MapEdit {
  readonly totals: EntryTotals | undefined
}

/** `entry` must be in the form that a parent holds. */
export function entryEdit(name: Uint8Array, entry: TreeEntry | undefined): EntryEdit {
  const value = entry === undefined ? undefined : encodeTreeEntry(entry)
  return { key: name, value, totals: entry === undefined ? undefined : entryTotals(entry) }
}

function nameDifference({ key, before, after }: MapDifference): NameDifference {
  return {
    name: nameOfKey(key),
    before: before === undefined ? undefined : decodeTreeEntry(before),
    after: after === undefined ? undefined : decodeTreeEntry(after),
  }
}

/** Names were UTF-8 when they were written. */
export function nameOfKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('utf8')
}
