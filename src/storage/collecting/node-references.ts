import { decodeListNode } from '../chunk-lists/list-reader.ts'
import type { ChunkId } from '../chunks.ts'
import { Node } from '../prolly/node.ts'
import { leafEntries } from '../prolly/read.ts'
import { decodeTreeEntry } from '../tree-entries.ts'
import type { Walk } from './marks.ts'

/** A chunk below which there are others, in the way in which they are found. */
export type WalkedChunk =
  | { readonly use: Exclude<Walk, 'list'>; readonly id: ChunkId }
  | { readonly use: 'list'; readonly id: ChunkId; readonly sizeBytes: number }

/** What a root or a node refers to. */
export type MarkedChunk = WalkedChunk | { readonly use: 'chunk'; readonly id: ChunkId }

type OnInline = (bytes: Uint8Array) => void

/**
 * Everything that the bytes of a chunk refer to directly. `onInline` is told of each small file in it.
 * @throws {DataLossError} when they are not what they are walked as.
 */
export function* referencesOf(
  chunk: WalkedChunk,
  bytes: Uint8Array,
  onInline: OnInline | undefined,
): Generator<MarkedChunk> {
  if (chunk.use === 'list') {
    const { level, entries } = decodeListNode(chunk, bytes)
    for (const { id, sizeBytes } of entries) {
      yield level > 0 ? { use: 'list', id, sizeBytes } : { use: 'chunk', id }
    }
    return
  }
  const node = new Node(bytes)
  if (node.level === 0 && chunk.use === 'tree') yield* leafReferences(node, onInline)
  if (node.level === 0) return
  for (let index = 0; index < node.count; index += 1) {
    yield { use: chunk.use, id: node.childIdAt(index) }
  }
}

/** Of directories that ride in others, each is smaller than the one that it is in. */
function* leafReferences(node: Node, onInline: OnInline | undefined): Generator<MarkedChunk> {
  for (const { value } of leafEntries(node)) {
    const entry = decodeTreeEntry(value)
    if (entry.kind === 'file') {
      const { content } = entry
      if (content.kind === 'inline') onInline?.(content.bytes)
      else if (content.kind === 'chunk') yield { use: 'chunk', id: content.chunk }
      else yield { use: 'list', id: content.root, sizeBytes: content.sizeBytes }
    } else if (entry.inlineNode === undefined) yield { use: 'tree', id: entry.root }
    else yield* leafReferences(new Node(entry.inlineNode), onInline)
  }
}
