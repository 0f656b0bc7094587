import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import { chunkIdBytes, chunkIdOf } from '../chunk-id.ts'
import { type ChunkId, chunkBytesMax } from '../chunks.ts'
import type { ObjectInfo, ObjectStore } from '../object-store.ts'
import { checkedChunk } from '../packs/checked-chunk.ts'
import { decodeChunk } from '../packs/compression.ts'
import {
  encodeFooter,
  type Encoding,
  entryBytes,
  headerBytes,
  type IndexedChunk,
  indexOffset,
  packHeader,
  packKey,
} from '../packs/format.ts'
import { readPackIndex } from '../packs/pack-index.ts'
import type { ListedPack } from '../packs/stored-packs.ts'
import type { SealedPack } from '../packs/sealed-packs.ts'
import { PackWindow } from './pack-window.ts'
import { findFrame } from './zstd-frames.ts'

/** Places that turn out to be no chunks; then no more are looked for. */
const failuresMax = 1024

/**
 * The chunks of a damaged pack that are certain: bytes whose hash is what the index says, or begins
 * as the list of packs says. Where the index is follows from the list.
 */
export async function wholeChunks(
  objects: ObjectStore,
  listed: ListedPack,
  stored: ObjectInfo,
  run: CheckRun,
): Promise<readonly IndexedChunk[]> {
  const { pack, fingerprints } = listed
  const dataEnd = indexOffset(pack.sizeBytes, pack.chunkCount)
  if (dataEnd < headerBytes || fingerprints.length !== pack.chunkCount * 4) return []
  const end = Math.min(stored.sizeBytes, pack.sizeBytes)
  const search = new ChunkSearch(objects, stored, { dataEnd: Math.min(dataEnd, end), fingerprints })
  const lost: number[] = []
  for (let number = 0; number < pack.chunkCount; number += 1) {
    run.throwIfCancelled()
    const entry = await search.entryAt(dataEnd + number * entryBytes, end)
    const chunk = entry && (await search.chunkAt(number, entry))
    if (chunk === undefined) lost.push(number)
  }
  await search.fillGaps(lost, run)
  return search.found()
}

type Place = Omit<IndexedChunk, 'id'>

class ChunkSearch {
  readonly #window: PackWindow
  readonly #entries: PackWindow
  readonly #dataEnd: number
  readonly #fingerprints: Uint8Array
  readonly #found = new Map<ChunkId, IndexedChunk>()

  constructor(
    objects: ObjectStore,
    { key, sizeBytes: end }: ObjectInfo,
    facts: { readonly dataEnd: number; readonly fingerprints: Uint8Array },
  ) {
    this.#window = new PackWindow(objects, { key, end })
    this.#entries = new PackWindow(objects, { key, end })
    this.#dataEnd = facts.dataEnd
    this.#fingerprints = facts.fingerprints
  }

  /** As they lie in the pack. */
  found(): readonly IndexedChunk[] {
    return [...this.#found.values()].toSorted((left, right) => left.offset - right.offset)
  }

  /** What the index says, if it can be read and can be so. */
  async entryAt(at: number, end: number): Promise<Place | undefined> {
    if (at + entryBytes > end) return undefined
    const bytes = await this.#entries.bytes(at, entryBytes).catch(lostBytes)
    if (bytes === undefined) return undefined
    const view = new DataView(bytes.buffer, bytes.byteOffset, entryBytes)
    const [offset, storedBytes] = [view.getUint32(32, true), view.getUint32(36, true)]
    const [rawBytes, code] = [view.getUint32(40, true), view.getUint32(44, true)]
    return { offset, storedBytes, rawBytes, encoding: code === 0 ? 'raw' : 'zstd' }
  }

  /** The chunk of that number in the index, if it is in a place. */
  async chunkAt(number: number, place: Place): Promise<IndexedChunk | undefined> {
    return await this.#chunkIn(place, (begins) => begins === this.#fingerprint(number))
  }

  /** @param isWanted is asked about the number that the first bytes of its id are. */
  async #chunkIn(
    place: Place,
    isWanted: (begins: number) => boolean,
  ): Promise<IndexedChunk | undefined> {
    const { offset, storedBytes, rawBytes, encoding } = place
    const isPossible =
      offset >= headerBytes &&
      offset + storedBytes <= this.#dataEnd &&
      rawBytes <= chunkBytesMax &&
      storedBytes <= chunkBytesMax &&
      (encoding === 'zstd' || storedBytes === rawBytes)
    if (!isPossible) return undefined
    const stored = await this.#bytes(offset, storedBytes)
    const bytes = stored && decoded(stored, encoding, rawBytes)
    if (bytes?.length !== rawBytes) return undefined
    const id = chunkIdOf(bytes)
    if (!isWanted(uint32(chunkIdBytes(id), 0))) return undefined
    const chunk = { id, offset, storedBytes, rawBytes, encoding }
    this.#found.set(id, chunk)
    return chunk
  }

  /**
   * Chunks lie one behind the other: what an entry does not say may be what is between others. Compressed
   * ones say themselves how long they are, and so where those end that lie before them.
   */
  async fillGaps(lost: readonly number[], run: CheckRun): Promise<void> {
    const gaps = this.#gaps()
    const wanted = new Set(lost.map((number) => this.#fingerprint(number)))
    const isWanted = (begins: number): boolean => wanted.has(begins)
    let failures = 0
    const tryRaw = async (offset: number, end: number): Promise<void> => {
      const storedBytes = end - offset
      if (storedBytes === 0) return
      const place = { offset, storedBytes, rawBytes: storedBytes, encoding: 'raw' } as const
      if ((await this.#chunkIn(place, isWanted)) === undefined) failures += 1
    }
    const read = (offset: number, length: number) => this.#bytes(offset, length)
    for (const { start, end } of gaps) {
      let rawStart = start
      for (let at = start; at < end && failures < failuresMax;) {
        run.throwIfCancelled()
        const frame = await findFrame(read, at, end)
        if (frame === undefined) break
        const { offset, storedBytes, rawBytes = chunkBytesMax } = frame
        const place = { offset, storedBytes, rawBytes, encoding: 'zstd' } as const
        if ((await this.#chunkIn(place, isWanted)) === undefined) {
          failures += 1
          at = offset + 1
        } else {
          await tryRaw(rawStart, offset)
          at = offset + storedBytes
          rawStart = at
        }
      }
      if (failures >= failuresMax) return
      await tryRaw(rawStart, end)
    }
  }

  /** What no chunk that has been found takes. */
  #gaps(): readonly { readonly start: number; readonly end: number }[] {
    const gaps: { readonly start: number; readonly end: number }[] = []
    let end = headerBytes
    for (const { offset, storedBytes } of [
      ...this.found(),
      { offset: this.#dataEnd, storedBytes: 0 },
    ]) {
      if (offset > end) gaps.push({ start: end, end: offset })
      end = Math.max(end, offset + storedBytes)
    }
    return gaps
  }

  async #bytes(offset: number, length: number): Promise<Uint8Array | undefined> {
    return await this.#window.bytes(offset, length).catch(lostBytes)
  }

  #fingerprint(number: number): number {
    return uint32(this.#fingerprints, number * 4)
  }
}

function uint32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at)
}

function decoded(stored: Uint8Array, encoding: Encoding, rawBytes: number): Uint8Array | undefined {
  try {
    return decodeChunk(stored, encoding, rawBytes)
  } catch {
    return undefined
  }
}

function lostBytes(error: unknown): undefined {
  if (!(error instanceof DataLossError)) throw error
}

/** Between header and first chunk, so that the pack is not the one that its chunks come from. */
const gapBytes = 8

/** Stores chunks of one pack as another. Durable when it resolves. */
export async function storeChunks(
  objects: ObjectStore,
  from: SealedPack,
  chunks: readonly IndexedChunk[],
): Promise<{ readonly pack: SealedPack; readonly fingerprints: Uint8Array }> {
  let end = headerBytes + gapBytes
  const moved = chunks.map((chunk) => {
    const offset = end
    end += chunk.storedBytes
    return { ...chunk, offset }
  })
  const byId = moved.toSorted((left, right) => (left.id < right.id ? -1 : 1))
  const { name, bytes: footer } = encodeFooter(byId, end)
  const key = packKey(name)
  await objects.putIfAbsent(
    key,
    (async function* parts() {
      yield packHeader()
      yield new Uint8Array(gapBytes)
      for (const chunk of chunks) {
        const stored = await objects.get(packKey(from.name), chunk.offset, chunk.storedBytes)
        await checkedChunk(chunk.id, stored, chunk, `pack ${from.name}`)
        yield stored
      }
      yield footer
    })(),
  )
  const sizeBytes = await objects.sizeBytes(key)
  const { pack, fingerprints } = await readPackIndex(objects, { key, sizeBytes }, name)
  return { pack, fingerprints }
}
