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

interface Source {
  readonly objects: ObjectStore
  readonly sealed: SealedPacks
}

/** What is to be copied of a pack: its chunks in their order, and the bytes from the first of them. */
export interface ToCopy {
  readonly pack: SealedPack
  readonly chunks: readonly NumberedChunk[]
  /** Those of one span. */
  readonly first: Uint8Array
}

/** Reads what a pack says of the chunks that `bits` name, and the first of them. */
export async function chunksToCopy(
  from: Source,
  pack: SealedPack,
  bits: ChunkBits,
): Promise<ToCopy> {
  const chunks = await chunksOf(from.sealed, pack, bits)
  const [span] = spansOf(chunks)
  const first = span === undefined ? new Uint8Array(0) : await readSpan(from, pack, span)
  return { pack, chunks, first }
}

/**
 * Appends chunks of a pack to a draft, as they are stored there, after checking each. Chunks that
 * the draft has are passed over. Returns how many it was given.
 *
 * @throws {DataLossError} when one is damaged.
 */
export async function copyChunks(
  from: Source,
  { pack, chunks, first }: ToCopy,
  draft: PackDraft,
): Promise<number> {
  let read: Uint8Array | undefined = first
  for (const span of spansOf(chunks)) {
    const bytes = read ?? (await readSpan(from, pack, span))
    read = undefined
    await copySpan(from, { pack, chunks: span, first: bytes }, draft)
  }
  return chunks.length
}

async function readSpan(
  { objects }: Source,
  pack: SealedPack,
  span: readonly NumberedChunk[],
): Promise<Uint8Array> {
  const [start, end] = boundsOf(span)
  const bytes = await objects.get(packKey(pack.name), start, end - start)
  if (bytes.length < end - start) throw new DataLossError(`pack ${pack.name} is cut short`)
  return bytes
}

function boundsOf(span: readonly NumberedChunk[]): readonly [number, number] {
  const last = span.at(-1)
  return [span[0]?.offset ?? 0, last === undefined ? 0 : last.offset + last.storedBytes]
}

async function copySpan(
  { sealed }: Source,
  { pack, chunks: span, first: bytes }: ToCopy,
  draft: PackDraft,
): Promise<void> {
  const [spanStart] = boundsOf(span)
  for (const chunk of span) {
    const start = chunk.offset - spanStart
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
