import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import { chunkIdBytes, chunkIdOf } from '../chunk-id.ts'
import { type ChunkId, chunkBytesMax } from '../chunks.ts'
import type { ObjectInfo, ObjectStore } from '../object-store.ts'
import { checkedChunk } from '../packs/checked-chunk.ts'
import { decodeChunk } from '../packs/compression.ts'
import {
  encodeFooter,
  sortedById,
  type Encoding,
  entryBytes,
  headerBytes,
  type IndexedChunk,
  indexOffset,
  packHeader,
  packKey,
  uint32At,
} from '../packs/format.ts'
import { readPackIndex } from '../packs/pack-index.ts'
import type { ListedPack } from '../packs/stored-packs.ts'
import type { SealedPack } from '../packs/sealed-packs.ts'
import { type Gap, GapSearch, type SearchedPack } from './gap-search.ts'
import { PackWindow } from './pack-window.ts'

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
  for (let number = 0; number < pack.chunkCount; number += 1) {
    run.throwIfCancelled()
    const entry = await search.entryAt(dataEnd + number * entryBytes, end)
    if (entry !== undefined) await search.chunkAt(number, entry)
  }
  await new GapSearch(search, run).fill()
  return search.found()
}

type Place = Omit<IndexedChunk, 'id'>

class ChunkSearch implements SearchedPack {
  readonly #window: PackWindow
  readonly #entries: PackWindow
  readonly #dataEnd: number
  readonly #fingerprints: Uint8Array
  readonly #found = new Map<ChunkId, IndexedChunk>()
  /** The first four bytes of the ids that have not been found, and how many begin so. */
  readonly #wanted = new Map<number, number>()

  constructor(
    objects: ObjectStore,
    { key, sizeBytes: end }: ObjectInfo,
    facts: { readonly dataEnd: number; readonly fingerprints: Uint8Array },
  ) {
    this.#window = new PackWindow(objects, { key, end })
    this.#entries = new PackWindow(objects, { key, end })
    this.#dataEnd = facts.dataEnd
    this.#fingerprints = facts.fingerprints
    for (let at = 0; at < facts.fingerprints.length; at += 4) {
      const begins = uint32At(facts.fingerprints, at)
      this.#wanted.set(begins, (this.#wanted.get(begins) ?? 0) + 1)
    }
  }

  get wantedCount(): number {
    return this.#fingerprints.length / 4 - this.#found.size
  }

  isWanted(begins: number): boolean {
    return this.#wanted.has(begins)
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

  /** Looks for the chunk of that number in the index where its entry says. */
  async chunkAt(number: number, place: Place): Promise<void> {
    const fingerprint = uint32At(this.#fingerprints, number * 4)
    await this.#chunkIn(place, (begins) => begins === fingerprint && this.isWanted(begins))
  }

  async chunkIn(place: Place): Promise<IndexedChunk | undefined> {
    return await this.#chunkIn(place, (begins) => this.isWanted(begins))
  }

  /** @param isRight is asked about the number that the first bytes of its id are. */
  async #chunkIn(
    place: Place,
    isRight: (begins: number) => boolean,
  ): Promise<IndexedChunk | undefined> {
    const { offset, storedBytes, rawBytes, encoding } = place
    const isPossible =
      offset >= headerBytes &&
      offset + storedBytes <= this.#dataEnd &&
      rawBytes <= chunkBytesMax &&
      storedBytes <= chunkBytesMax &&
      (encoding === 'zstd' || storedBytes === rawBytes)
    if (!isPossible) return undefined
    const stored = await this.read(offset, storedBytes)
    const bytes = stored && decoded(stored, encoding, rawBytes)
    if (bytes?.length !== rawBytes) return undefined
    const id = chunkIdOf(bytes)
    const begins = uint32At(chunkIdBytes(id), 0)
    if (this.#found.has(id) || !isRight(begins)) return undefined
    const chunk = { id, offset, storedBytes, rawBytes, encoding }
    this.#found.set(id, chunk)
    const count = this.#wanted.get(begins) ?? 0
    if (count > 1) this.#wanted.set(begins, count - 1)
    else this.#wanted.delete(begins)
    return chunk
  }

  gaps(): readonly Gap[] {
    const gaps: Gap[] = []
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

  async read(offset: number, length: number): Promise<Uint8Array | undefined> {
    return await this.#window.bytes(offset, length).catch(lostBytes)
  }
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
  const { name, bytes: footer } = encodeFooter(sortedById(moved), end)
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
