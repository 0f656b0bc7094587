/** The layout of a pack: `docs/formats/packs.md`. */

import { createHash } from 'node:crypto'
import { writeHex } from '../../base/bytes.ts'
import { DataLossError, assert } from '../../base/errors.ts'
import { chunkIdAt, chunkIdBytesCount } from '../chunk-id.ts'
import { type ChunkId, chunkBytesMax } from '../chunks.ts'
import { type ObjectKey, parseObjectKey } from '../object-store.ts'

export const packVersion = 1
export const headerBytes = 16
export const trailerBytes = 64
export const entryBytes = 48
/** The index is read in blocks of so many entries; the fence holds the first id of each. */
export const blockEntries = 64

/** A pack is sealed once it holds this many bytes … */
export const packBytesTarget: number = 32 * 1024 * 1024
/** … or this many chunks. */
export const packChunksMax = 65_536
const dataBytesMax = packBytesTarget + chunkBytesMax

const headerMagic = 'pachpack'
const trailerMagic = 'packtail'

/** How the bytes of a chunk are stored. */
export type Encoding = 'raw' | 'zstd'

const encodingCodes: Readonly<Record<Encoding, number>> = { raw: 0, zstd: 1 }

export interface PackEntry {
  readonly offset: number
  readonly storedBytes: number
  readonly rawBytes: number
  readonly encoding: Encoding
}

export interface IndexedChunk extends PackEntry {
  readonly id: ChunkId
}

/** More than a pack has chunks. */
const indexRange = 2 ** 20

/** In the order of their ids; by numbers first, since to compare that many texts takes several times as long. */
export function sortedById(chunks: readonly IndexedChunk[]): readonly IndexedChunk[] {
  assert(chunks.length <= indexRange, 'a pack has fewer chunks')
  const order = new Float64Array(chunks.length)
  for (const [index, { id }] of chunks.entries()) {
    order[index] = Number.parseInt(id.slice(0, 8), 16) * indexRange + index
  }
  order.sort()
  const sorted: IndexedChunk[] = []
  for (const key of order) {
    const chunk = chunks[key % indexRange]
    assert(chunk !== undefined, 'the order is one of these chunks')
    // Hardly ever begin two ids with the same digits.
    let place = sorted.length
    while (place > 0 && (sorted[place - 1]?.id ?? '') > chunk.id) place -= 1
    if (place === sorted.length) sorted.push(chunk)
    else sorted.splice(place, 0, chunk)
  }
  return sorted
}

export interface PackFooter {
  /** The SHA-256 of index and fence; names the pack. */
  readonly name: string
  /** Index, fence and trailer, as they follow the last chunk. */
  readonly bytes: Uint8Array
  /** The first four bytes of each id, little-endian, in the order of the index. */
  readonly fingerprints: Uint8Array
}

export function packHeader(): Uint8Array {
  const header = Buffer.alloc(headerBytes)
  header.write(headerMagic, 0, 'latin1')
  header.writeUInt32LE(packVersion, 8)
  return header
}

export function packKey(name: string): ObjectKey {
  return parseObjectKey(`packs/${name.slice(0, 2)}/${name}`)
}

/** Whether a pack may have the name: a damaged row may say anything. */
export function isPackName(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text)
}

/** The pack that `key` names, or undefined when it is no pack's. */
export function packNameOf(key: ObjectKey): string | undefined {
  return /^packs\/[0-9a-f]{2}\/([0-9a-f]{64})$/.exec(key)?.[1]
}

export function fenceBytes(chunkCount: number): number {
  return Math.ceil(chunkCount / blockEntries) * chunkIdBytesCount
}

/** Where the index of a pack of that size and count starts. */
export function indexOffset(sizeBytes: number, chunkCount: number): number {
  return sizeBytes - trailerBytes - fenceBytes(chunkCount) - chunkCount * entryBytes
}

/** @param chunks sorted by id, each once; stored from `headerBytes` up to `dataEnd`. */
export function encodeFooter(chunks: readonly IndexedChunk[], dataEnd: number): PackFooter {
  assert(chunks.length > 0 && chunks.length <= packChunksMax, 'a pack has some chunks')
  assert(dataEnd <= dataBytesMax, `the chunks of a pack take at most ${dataBytesMax} bytes`)
  const indexBytes = chunks.length * entryBytes
  const bytes = Buffer.alloc(indexBytes + fenceBytes(chunks.length) + trailerBytes)
  const fingerprints = Buffer.alloc(chunks.length * 4)
  let at = 0
  let fenceAt = indexBytes
  for (const chunk of chunks) {
    writeHex(bytes, at, chunk.id)
    bytes.writeUInt32LE(chunk.offset, at + 32)
    bytes.writeUInt32LE(chunk.storedBytes, at + 36)
    bytes.writeUInt32LE(chunk.rawBytes, at + 40)
    bytes.writeUInt32LE(encodingCodes[chunk.encoding], at + 44)
    fingerprints.writeUInt32LE(bytes.readUInt32LE(at), (at / entryBytes) * 4)
    if (at % (entryBytes * blockEntries) === 0) {
      bytes.copyWithin(fenceAt, at, at + chunkIdBytesCount)
      fenceAt += chunkIdBytesCount
    }
    at += entryBytes
  }
  const digest = createHash('sha256').update(bytes.subarray(0, fenceAt)).digest()
  bytes.writeUInt32LE(dataEnd, fenceAt)
  bytes.writeUInt32LE(chunks.length, fenceAt + 4)
  bytes.writeUInt32LE(packVersion, fenceAt + 8)
  bytes.set(digest, fenceAt + 16)
  bytes.write(trailerMagic, fenceAt + 56, 'latin1')
  return { name: digest.toString('hex'), bytes, fingerprints }
}

export interface PackTrailer {
  readonly dataEnd: number
  readonly chunkCount: number
  readonly name: string
}

/** @throws {DataLossError} unless `bytes` ends with the trailer of a pack of that size. */
export function decodeTrailer(bytes: Uint8Array, sizeBytes: number, what: string): PackTrailer {
  if (bytes.length < trailerBytes) throw new DataLossError(`${what}: too short for a pack`)
  const trailer = Buffer.from(bytes.buffer, bytes.byteOffset + bytes.length - trailerBytes, 64)
  if (trailer.toString('latin1', 56) !== trailerMagic) {
    throw new DataLossError(`${what}: does not end as a pack does`)
  }
  const version = trailer.readUInt32LE(8)
  if (version !== packVersion) {
    throw new DataLossError(`${what}: has version ${version}, and only ${packVersion} is known`)
  }
  const dataEnd = trailer.readUInt32LE(0)
  const chunkCount = trailer.readUInt32LE(4)
  if (chunkCount > packChunksMax || dataEnd !== indexOffset(sizeBytes, chunkCount)) {
    throw new DataLossError(`${what}: has a size that its trailer does not tell`)
  }
  return { dataEnd, chunkCount, name: trailer.toString('hex', 16, 48) }
}

/** @throws {DataLossError} when the entry is no entry of a pack whose chunks end at `dataEnd`. */
export function entryAt(
  block: Uint8Array,
  index: number,
  dataEnd: number,
  what: string,
): PackEntry {
  const view = Buffer.from(block.buffer, block.byteOffset, block.length)
  return decodeEntry(view, index * entryBytes, dataEnd, what)
}

/** Where `id` is among the entries of `block`, which are sorted: a block, or a whole index. */
export function indexInBlock(block: Uint8Array, id: Uint8Array): number | undefined {
  const view = new DataView(block.buffer, block.byteOffset, block.length)
  const count = Math.floor(block.length / entryBytes)
  const prefix = new DataView(id.buffer, id.byteOffset, chunkIdBytesCount).getUint32(0)
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (view.getUint32(middle * entryBytes) < prefix) low = middle + 1
    else high = middle
  }
  for (; low < count && view.getUint32(low * entryBytes) === prefix; low += 1) {
    if (isAt(block, low * entryBytes, id)) return low
  }
  return undefined
}

/** The first four bytes of an id, as a number. */
export function uint32At(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at)
}

function isAt(block: Uint8Array, at: number, id: Uint8Array): boolean {
  for (let offset = 0; offset < chunkIdBytesCount; offset += 1) {
    if (block[at + offset] !== id[offset]) return false
  }
  return true
}

/** The block whose entries would hold `id`, by the first id of each; -1 when it is before all. */
export function findInFence(fence: Uint8Array, id: Uint8Array): number {
  const view = Buffer.from(fence.buffer, fence.byteOffset, fence.length)
  let low = 0
  let high = Math.floor(fence.length / chunkIdBytesCount)
  while (low < high) {
    const middle = (low + high) >>> 1
    const at = middle * chunkIdBytesCount
    if (view.compare(id, 0, 32, at, at + 32) <= 0) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Every chunk that `index` lists, in the order of their ids. */
export function* decodeIndex(
  index: Uint8Array,
  dataEnd: number,
  what: string,
): Generator<IndexedChunk> {
  const view = Buffer.from(index.buffer, index.byteOffset, index.length)
  for (let at = 0; at + entryBytes <= view.length; at += entryBytes) {
    yield { id: chunkIdAt(view, at), ...decodeEntry(view, at, dataEnd, what) }
  }
}

function decodeEntry(view: Buffer, at: number, dataEnd: number, what: string): PackEntry {
  const offset = view.readUInt32LE(at + 32)
  const storedBytes = view.readUInt32LE(at + 36)
  const rawBytes = view.readUInt32LE(at + 40)
  const code = view.readUInt32LE(at + 44)
  const sound =
    offset >= headerBytes &&
    offset + storedBytes <= dataEnd &&
    rawBytes <= chunkBytesMax &&
    code <= encodingCodes.zstd &&
    (code === encodingCodes.zstd || storedBytes === rawBytes)
  if (!sound) throw new DataLossError(`${what}: its index is damaged`)
  return { offset, storedBytes, rawBytes, encoding: code === encodingCodes.zstd ? 'zstd' : 'raw' }
}
