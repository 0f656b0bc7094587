import { DataLossError } from '../../base/errors.ts'
import type { ChunkId, ChunkReader, IsNew } from '../chunks.ts'
import { type ChunkRef, decodeNode, type ListNode, sizeOf } from './node.ts'

export interface PlacedChunk extends ChunkRef {
  /** Where it starts in the list's bytes. */
  readonly start: number
}

/** The chunks of the list at `root`, in order, from the one that holds the byte at `offset`. */
export async function* readList(
  chunks: ChunkReader,
  root: ChunkRef,
  offset = 0,
): AsyncGenerator<PlacedChunk> {
  yield* readNode(chunks, { ...root, start: 0 }, offset, undefined)
}

async function* readNode(
  chunks: ChunkReader,
  node: PlacedChunk,
  offset: number,
  expectedLevel: number | undefined,
): AsyncGenerator<PlacedChunk> {
  const { level, entries } = await loadNode(chunks, node)
  if (level !== (expectedLevel ?? level)) throw damaged(node.id)
  let { start } = node
  for (const { id, sizeBytes } of entries) {
    if (start + sizeBytes > offset) {
      if (level === 0) yield { id, sizeBytes, start }
      else yield* readNode(chunks, { id, sizeBytes, start }, offset, level - 1)
    }
    start += sizeBytes
  }
}

/**
 * Every chunk of the list at `root`, nodes and parts, that `isNew` has not seen; the root itself has
 * been asked about already.
 */
export async function* listReferences(
  chunks: ChunkReader,
  root: ChunkRef,
  isNew: IsNew,
): AsyncGenerator<ChunkId> {
  const { level, entries } = await loadNode(chunks, root)
  for (const entry of entries) {
    if (!(await isNew(entry.id, level > 0 ? 'list' : 'chunk'))) continue
    yield entry.id
    if (level > 0) yield* listReferences(chunks, entry, isNew)
  }
}

/**
 * The node that is stored as these bytes.
 * @throws {DataLossError} when it is none, or is not of the size that its parent tells.
 */
export function decodeListNode({ id, sizeBytes }: ChunkRef, bytes: Uint8Array): ListNode {
  const node = decodeNode(id, bytes)
  if (sizeOf(node.entries) !== sizeBytes) throw damaged(id)
  return node
}

async function loadNode(chunks: ChunkReader, ref: ChunkRef): Promise<ListNode> {
  return decodeListNode(ref, await chunks.get(ref.id))
}

function damaged(id: ChunkId): DataLossError {
  return new DataLossError(`chunk ${id} is not the node of a chunk list that its parent tells`)
}
