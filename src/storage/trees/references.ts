import { flat, Nested, type NestedItems } from '../../base/nested.ts'
import type { IsNew } from '../chunks.ts'
import type { NodeStore } from '../prolly/node-store.ts'
import { Node } from '../prolly/node.ts'
import { leafEntries, newNodes } from '../prolly/read.ts'
import { decodeTreeEntry, type TreeReference, type TreeRoot } from '../tree-entries.ts'

type Nesting = AsyncGenerator<TreeReference | Nested<NestedItems<TreeReference>>>

/** What is told of each inlined file. */
export type OnInline = (bytes: Uint8Array) => void

/** What the tree at `root` keeps alive, as far as `isNew` has not seen it. */
export function treeReferences(
  store: NodeStore,
  root: TreeRoot,
  isNew: IsNew,
  onInline?: OnInline,
): AsyncGenerator<TreeReference> {
  return flat(nestedReferences(store, root, isNew, onInline))
}

async function* nestedReferences(
  store: NodeStore,
  root: TreeRoot,
  isNew: IsNew,
  onInline: OnInline | undefined,
): Nesting {
  for await (const { id, node } of newNodes(store, root, isNew)) {
    yield { kind: 'node', id }
    yield new Nested(() => leafReferences(store, node, isNew, onInline))
  }
}

async function* leafReferences(
  store: NodeStore,
  node: Node,
  isNew: IsNew,
  onInline: OnInline | undefined,
): Nesting {
  for (const { value } of leafEntries(node)) {
    const entry = decodeTreeEntry(value)
    if (entry.kind === 'file') {
      const { content } = entry
      if (content.kind === 'inline') onInline?.(content.bytes)
      else if (content.kind === 'chunk') {
        if (await isNew(content.chunk, 'chunk')) yield { kind: 'chunk', id: content.chunk }
      } else if (await isNew(content.root, 'list')) {
        yield { kind: 'list', id: content.root, sizeBytes: content.sizeBytes }
      }
    } else {
      const { root, inlineNode } = entry
      yield new Nested(() =>
        inlineNode === undefined
          ? nestedReferences(store, root, isNew, onInline)
          : leafReferences(store, new Node(inlineNode), isNew, onInline),
      )
    }
  }
}
