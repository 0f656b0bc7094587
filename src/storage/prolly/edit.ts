import { compareBytes } from '../../base/bytes.ts'
import { chunkIdOf } from '../chunk-id.ts'
import type { MapEdit } from './map-entries.ts'
import { LevelCursor } from './cursor.ts'
import { EditQueue, type LevelEdit } from './edit-queue.ts'
import { emptyLeaf, LeafWriter, type LevelWriter, ParentWriter, TreeTop } from './level-writer.ts'
import { type RootNode, type NodeRef, NodeSink, type NodeStore } from './node-store.ts'
import type { Node } from './node.ts'

export interface EditOptions<Edit extends MapEdit> {
  /** A leaf root of at most this many bytes is handed back instead of stored. 0: always stored. */
  readonly heldBytesMax: number
  /** Called for every edit, in order, with the value that it replaces. */
  readonly onEdit?: (edit: Edit, before: Uint8Array | undefined) => void
}

type Batches<Edit> = AsyncIterable<readonly Edit[]>

/**
 * Applies edits sorted by key, each key once, level by level: the nodes that an edit of one level
 * replaces are the edits of the level above. Reads and writes the nodes around the edits only.
 */
export async function editMap<Edit extends MapEdit>(
  store: NodeStore,
  root: Node,
  batches: Batches<Edit>,
  options: EditOptions<Edit>,
): Promise<RootNode | 'unchanged'> {
  const sink = new NodeSink(store, options.heldBytesMax)
  const top = new TreeTop(sink, root.level)
  let changed = false
  if (root.count === 0) {
    changed = await buildLeaves(sink, top, batches, options.onEdit)
  } else {
    for await (const replaced of editLevels(store, sink, root, batches, options.onEdit)) {
      changed = true
      for (const { value } of replaced) if (value !== undefined) await top.add(value)
    }
  }
  if (!changed) return 'unchanged'
  const newRoot = await finishRoot(store, await top.finish(), options.heldBytesMax)
  await sink.settle()
  return newRoot
}

/** Builds the leaves of a map that was empty. */
async function buildLeaves<Edit extends MapEdit>(
  sink: NodeSink,
  top: TreeTop,
  batches: Batches<Edit>,
  onEdit: EditOptions<Edit>['onEdit'],
): Promise<boolean> {
  const writer = new LeafWriter(sink)
  let changed = false
  for await (const batch of batches) {
    for (const edit of batch) {
      onEdit?.(edit, undefined)
      if (edit.value === undefined) continue
      changed = true
      if (writer.append(edit.key, edit.value)) await top.add(await writer.close())
    }
  }
  if (!writer.isAtBoundary) await top.add(await writer.close())
  return changed
}

/** The edits of the imaginary level above the root. */
function editLevels<Edit extends MapEdit>(
  store: NodeStore,
  sink: NodeSink,
  root: Node,
  batches: Batches<Edit>,
  onEdit: EditOptions<Edit>['onEdit'],
): Batches<LevelEdit<NodeRef>> {
  let parents = editLevel<Uint8Array, Edit>(
    {
      cursor: new LevelCursor(store, root, 0),
      writer: new LeafWriter(sink),
      onEdit,
    },
    batches,
  )
  for (let level = 1; level <= root.level; level += 1) {
    parents = editLevel<NodeRef, LevelEdit<NodeRef>>(
      {
        cursor: new LevelCursor(store, root, level),
        writer: new ParentWriter(sink, level),
        onEdit: undefined,
      },
      parents,
    )
  }
  return parents
}

interface Level<Value, Edit> {
  readonly cursor: LevelCursor
  readonly writer: LevelWriter<Value>
  readonly onEdit: ((edit: Edit, before: Uint8Array | undefined) => void) | undefined
}

/**
 * Rewrites the nodes that hold edits and those behind them until an old node ends where a new one
 * does: from there on, the old nodes are right. Yields what that changes in the level above.
 */
async function* editLevel<Value, Edit extends LevelEdit<Value>>(
  level: Level<Value, Edit>,
  batches: Batches<Edit>,
): AsyncGenerator<readonly LevelEdit<NodeRef>[]> {
  const { cursor, writer } = level
  await using edits = new EditQueue(batches)
  const parents = new ParentEdits()
  for (let first = await edits.peek(); first !== undefined; first = await edits.peek()) {
    await cursor.seek(first.key)
    for (let more = true; more; more = !writer.isAtBoundary && (await cursor.next())) {
      parents.remove(cursor.node.lastKey)
      yield* editNode(level, edits, parents)
      if (cursor.isLast && !writer.isAtBoundary) parents.add(await writer.close())
    }
    parents.endRegion()
    if (parents.list.length > 0) yield parents.take()
  }
}

/** Merges the entries of the cursor's node with the edits that fall into it. */
async function* editNode<Value, Edit extends LevelEdit<Value>>(
  level: Level<Value, Edit>,
  edits: EditQueue<Edit>,
  parents: ParentEdits,
): AsyncGenerator<readonly LevelEdit<NodeRef>[]> {
  const { writer, onEdit } = level
  const { node, isLast } = level.cursor
  const { lastKey } = node
  let index = 0
  for (;;) {
    const edit = edits.head ?? (await edits.peek())
    const isInside =
      edit !== undefined &&
      (isLast || lastKey === undefined || compareBytes(edit.key, lastKey) <= 0)
    const stop = isInside ? node.lowerBound(edit.key, index) : node.count
    for (; index < stop; index += 1) {
      if (writer.copy(node, index)) parents.add(await writer.close())
    }
    if (!isInside) break
    const isFound = index < node.count && node.compareKey(index, edit.key) === 0
    onEdit?.(edit, isFound ? node.valueAt(index) : undefined)
    if (isFound) index += 1
    edits.advance()
    if (edit.value !== undefined && writer.append(edit.key, edit.value)) {
      parents.add(await writer.close())
      if (parents.list.length >= parentEditsMax) yield parents.take()
    }
  }
  if (parents.list.length > 0) yield parents.take()
}

const parentEditsMax = 64

/** Collects, in key order, the old nodes that go and the new ones that come. */
class ParentEdits {
  list: LevelEdit<NodeRef>[] = []
  #removed: Uint8Array[] = []

  remove(key: Uint8Array | undefined): void {
    if (key !== undefined) this.#removed.push(key)
  }

  add(ref: NodeRef): void {
    for (let oldest = this.#removed[0]; oldest !== undefined; oldest = this.#removed[0]) {
      const order = compareBytes(oldest, ref.lastKey)
      if (order > 0) break
      this.#removed.shift()
      if (order < 0) this.list.push({ key: oldest, value: undefined })
    }
    this.list.push({ key: ref.lastKey, value: ref })
  }

  endRegion(): void {
    for (const key of this.#removed.splice(0)) this.list.push({ key, value: undefined })
  }

  take(): readonly LevelEdit<NodeRef>[] {
    const { list } = this
    this.list = []
    return list
  }
}

/** A tree has no root with one child: the child is the root. A map without entries is one leaf. */
async function finishRoot(
  store: NodeStore,
  ref: NodeRef | undefined,
  heldBytesMax: number,
): Promise<RootNode> {
  if (ref === undefined) return keepRoot(store, emptyLeaf(), heldBytesMax)
  if ('heldBytes' in ref.state) return keepRoot(store, ref.state.heldBytes, heldBytesMax)
  let id = await ref.state.id
  if (ref.count > 1) return { id, heldBytes: undefined }
  let node = await store.get(id)
  while (node.level > 0 && node.count === 1) {
    id = node.childIdAt(0)
    node = await store.get(id)
  }
  const isHeld = node.level === 0 && node.bytes.length <= heldBytesMax
  return { id, heldBytes: isHeld ? node.bytes : undefined }
}

async function keepRoot(
  store: NodeStore,
  leaf: Uint8Array,
  heldBytesMax: number,
): Promise<RootNode> {
  if (leaf.length <= heldBytesMax) return { id: chunkIdOf(leaf), heldBytes: leaf }
  return { id: await store.put(leaf), heldBytes: undefined }
}
