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
import type { ObjectStore } from '../object-store.ts'

/** Bytes that are read at once: as many as the largest chunk. */
const windowBytes = 4 * 1024 * 1024

export interface ScanResult {
  readonly damaged: readonly DamagedChunk[]
  /** Damaged chunks beyond those that are listed. */
  readonly moreCount: number
  /** What is wrong with bytes that nothing reads. */
  readonly frame: string | undefined
}

export interface DamagedChunk extends IndexedChunk {
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
  const chunks = [...decodeIndex(index, dataEnd, what)].toSorted(byOffset)
  const damaged: DamagedChunk[] = []
  const bytesBefore = run.counts.bytes
  let moreCount = 0
  const window = new Window(objects, found)
  for (const chunk of chunks) {
    run.throwIfCancelled()
    try {
      const stored = await window.bytes(chunk.offset, chunk.storedBytes)
      await checkedChunk(chunk.id, stored, chunk, what)
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      if (damaged.length < listedMax) damaged.push({ ...chunk, reason: error.message })
      else moreCount += 1
    }
    run.counts.bytes += chunk.storedBytes
  }
  run.counts.bytes = bytesBefore + pack.sizeBytes
  return { damaged, moreCount, frame: await frameDamage(objects, found) }
}

function byOffset(left: IndexedChunk, right: IndexedChunk): number {
  return left.offset - right.offset
}

/** Header and padding: no reader looks at them, but a disk that changes them changes more. */
async function frameDamage(objects: ObjectStore, { pack }: PackIndex): Promise<string | undefined> {
  const key = packKey(pack.name)
  const header = await objects.get(key, 0, headerBytes)
  if (!equalBytes(header, packHeader())) return 'its first 16 bytes are not those of a pack'
  const trailer = await objects.get(key, pack.sizeBytes - trailerBytes, trailerBytes)
  const padding = [trailer.subarray(12, 16), trailer.subarray(48, 56)]
  if (padding.some((bytes) => bytes.some((byte) => byte !== 0))) {
    return 'bytes of its trailer that should be 0 are not'
  }
  return undefined
}

/** A piece of a pack in memory, which moves on as it is asked. */
class Window {
  readonly #objects: ObjectStore
  readonly #found: PackIndex
  #start = 0
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(objects: ObjectStore, found: PackIndex) {
    this.#objects = objects
    this.#found = found
  }

  /** @throws {DataLossError} when the pack ends before. */
  async bytes(offset: number, length: number): Promise<Uint8Array> {
    const { pack, dataEnd } = this.#found
    if (offset < this.#start || offset + length > this.#start + this.#bytes.length) {
      const wanted = Math.min(Math.max(length, windowBytes), dataEnd - offset)
      this.#bytes = await this.#objects.get(packKey(pack.name), offset, wanted)
      this.#start = offset
    }
    const at = offset - this.#start
    const bytes = this.#bytes.subarray(at, at + length)
    if (bytes.length < length) throw new DataLossError(`pack ${pack.name} ends too early`)
    return bytes
  }
}
