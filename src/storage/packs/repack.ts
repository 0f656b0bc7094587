import { DataLossError } from '../../base/errors.ts'
import type { ObjectStore } from '../object-store.ts'
import { checkedChunk } from './checked-chunk.ts'
import { decodeIndex, type IndexedChunk, packKey } from './format.ts'
import type { PackDraft } from './pack-draft.ts'
import { type ChunkBits, hasBit } from './recent-puts.ts'
import type { SealedPack, SealedPacks } from './sealed-packs.ts'

/** Chunks that lie close together are read at once, up to this many bytes. */
const spanBytesMax = 1024 * 1024

/** A chunk with the number that it has in its pack's index. */
export interface NumberedChunk extends IndexedChunk {
  readonly index: number
}

/** The chunks of a pack that `bits` name, in the order in which they lie in it. */
export async function chunksOf(
  sealed: SealedPacks,
  pack: SealedPack,
  bits: ChunkBits,
): Promise<readonly NumberedChunk[]> {
  const { bytes, end } = await sealed.readIndex(pack)
  const chunks: NumberedChunk[] = []
  let index = 0
  for (const chunk of decodeIndex(bytes, end, `pack ${pack.name}`)) {
    if (hasBit(bits, index)) chunks.push({ ...chunk, index })
    index += 1
  }
  return chunks.toSorted((left, right) => left.offset - right.offset)
}

/**
 * Appends chunks of a pack to a draft, as they are stored there, after checking each. Chunks that
 * the draft has are passed over.
 *
 * @throws {DataLossError} when one is damaged.
 */
export async function copyChunks(
  { objects, sealed }: { readonly objects: ObjectStore; readonly sealed: SealedPacks },
  pack: SealedPack,
  chunks: readonly NumberedChunk[],
  draft: PackDraft,
): Promise<void> {
  for (const span of spansOf(chunks)) {
    const [first] = span
    const last = span.at(-1)
    if (first === undefined || last === undefined) continue
    const length = last.offset + last.storedBytes - first.offset
    const bytes = await objects.get(packKey(pack.name), first.offset, length)
    if (bytes.length < length) throw new DataLossError(`pack ${pack.name} is cut short`)
    for (const chunk of span) {
      const start = chunk.offset - first.offset
      const stored = bytes.subarray(start, start + chunk.storedBytes)
      try {
        await checkedChunk(chunk.id, stored, chunk, `pack ${pack.name}`)
      } catch (error) {
        if (error instanceof DataLossError) await sealed.noteDamaged(pack, chunk.index)
        throw error
      }
      if (draft.holds(chunk.id) !== undefined) continue
      await draft.append(chunk.id, chunk.rawBytes, { stored, encoding: chunk.encoding })
    }
  }
}

function* spansOf(chunks: readonly NumberedChunk[]): Generator<readonly NumberedChunk[]> {
  let span: NumberedChunk[] = []
  for (const chunk of chunks) {
    const [first] = span
    const end = chunk.offset + chunk.storedBytes
    if (first !== undefined && end - first.offset > spanBytesMax) {
      yield span
      span = []
    }
    span.push(chunk)
  }
  if (span.length > 0) yield span
}
