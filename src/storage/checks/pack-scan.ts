import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import { equalBytes } from '../../base/bytes.ts'
import { checkedChunk } from '../packs/checked-chunk.ts'
import {
  decodeIndex,
  headerBytes,
  type IndexedChunk,
  packHeader,
  packKey,
  trailerBytes,
} from '../packs/format.ts'
import type { PackIndex } from '../packs/pack-index.ts'
import { type ChunkBits, newChunkBits, setBit } from '../packs/recent-puts.ts'
import type { NumberedChunk } from '../packs/repack.ts'
import type { ObjectStore } from '../object-store.ts'
import { PackWindow, UnreadableBytesError } from './pack-window.ts'

export interface ScanResult {
  readonly damaged: readonly DamagedChunk[]
  /** All of them. */
  readonly bits: ChunkBits
  /** Damaged chunks beyond those that are listed. */
  readonly moreCount: number
  /** What is wrong with bytes that nothing reads. */
  readonly frame: string | undefined
}

export interface DamagedChunk extends NumberedChunk {
  readonly reason: string
}

const listedMax = 1000

/** Reads all of a pack whose index is sound, and checks every chunk against its id. */
export async function scanPack(
  objects: ObjectStore,
  found: PackIndex,
  run: CheckRun,
): Promise<ScanResult> {
  const { pack, index, dataEnd } = found
  const what = `pack ${pack.name}`
  const chunks = [...decodeIndex(index, dataEnd, what)]
    .map((chunk, number): NumberedChunk => ({ ...chunk, index: number }))
    .toSorted(byOffset)
  const damaged: DamagedChunk[] = []
  const bits = newChunkBits(pack.chunkCount)
  const bytesBefore = run.counts.bytes
  let moreCount = 0
  const window = new PackWindow(objects, { key: packKey(pack.name), end: dataEnd })
  for (const chunk of chunks) {
    run.throwIfCancelled()
    try {
      const stored = await window.bytes(chunk.offset, chunk.storedBytes)
      await checkedChunk(chunk.id, stored, chunk, what)
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      setBit(bits, chunk.index)
      const where = `chunk ${chunk.id} at offset ${chunk.offset} of ${what}`
      const reason =
        error instanceof UnreadableBytesError
          ? `${where} cannot be read: ${error.message}`
          : error.message
      if (damaged.length < listedMax) damaged.push({ ...chunk, reason })
      else moreCount += 1
    }
    run.counts.bytes += chunk.storedBytes
  }
  run.counts.bytes = bytesBefore + pack.sizeBytes
  return { damaged, bits, moreCount, frame: await frameDamage(objects, found) }
}

function byOffset(left: IndexedChunk, right: IndexedChunk): number {
  return left.offset - right.offset
}

/** Header and padding: no reader looks at them, but a disk that changes them changes more. */
async function frameDamage(objects: ObjectStore, { pack }: PackIndex): Promise<string | undefined> {
  const key = packKey(pack.name)
  const header = await objects.get(key, 0, headerBytes).catch(unreadable)
  if (header === undefined) return 'its first 16 bytes cannot be read'
  if (!equalBytes(header, packHeader())) return 'its first 16 bytes are not those of a pack'
  const trailer = await objects
    .get(key, pack.sizeBytes - trailerBytes, trailerBytes)
    .catch(unreadable)
  if (trailer === undefined) return 'its trailer cannot be read any more'
  const padding = [trailer.subarray(12, 16), trailer.subarray(48, 56)]
  if (padding.some((bytes) => bytes.some((byte) => byte !== 0))) {
    return 'bytes of its trailer that should be 0 are not'
  }
  return undefined
}

function unreadable(error: unknown): undefined {
  if (!(error instanceof DataLossError)) throw error
}
