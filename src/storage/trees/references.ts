import type { ChunkId } from '../chunks.ts'
import type { NodeStore } from '../prolly/node-store.ts'
import { Node } from '../prolly/node.ts'
import { leafEntries, newNodes } from '../prolly/read.ts'
import { decodeTreeEntry, type TreeReference, type TreeRoot } from '../tree-entries.ts'

/** What the tree at `root` keeps alive, as far as `isNew` has not seen it. */
export async function* treeReferences(
  store: NodeStore,
  root: TreeRoot,
  isNew: (id: ChunkId) => boolean,
): AsyncGenerator<TreeReference> {
  for await (const { id, node } of newNodes(store, root, isNew)) {
    yield { kind: 'node', id }
    yield* leafReferences(store, node, isNew)
  }
}

async function* leafReferences(
  store: NodeStore,
  node: Node,
  isNew: (id: ChunkId) => boolean,
): AsyncGenerator<TreeReference> {
  for (const { value } of leafEntries(node)) {
    const entry = decodeTreeEntry(value)
    if (entry.kind === 'file') {
      const { content } = entry
      if (content.kind === 'chunk' && isNew(content.chunk)) {
        yield { kind: 'chunk', id: content.chunk }
      } else if (content.kind === 'list' && isNew(content.root)) {
        yield { kind: 'list', id: content.root, sizeBytes: content.sizeBytes }
      }
    } else if (entry.inlineNode === undefined) {
      yield* treeReferences(store, entry.root, isNew)
    } else {
      yield* leafReferences(store, new Node(entry.inlineNode), isNew)
    }
  }
}
