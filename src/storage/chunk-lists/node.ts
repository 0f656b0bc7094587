/** The nodes of a chunk list: `docs/formats/contents.md`. */

import { DataLossError, assert } from '../../base/errors.ts'
import { chunkIdAt, chunkIdBytes, chunkIdBytesCount } from '../chunk-id.ts'
import type { ChunkId } from '../chunks.ts'

/** A run of bytes: a chunk, or the node that lists its chunks. */
export interface ChunkRef {
  readonly id: ChunkId
  readonly sizeBytes: number
}

export interface ListNode {
  /** 0 when its entries are chunks. */
  readonly level: number
  readonly entries: readonly ChunkRef[]
}

const headerBytes = 4
const magic = 0x4c // L
const version = 1
const sizeFieldBytes = 6
const entryBytes = chunkIdBytesCount + sizeFieldBytes

const entriesMin = 32
const entriesMax = 1024
/** A node ends after an entry whose id, as a little-endian number, is a multiple of this. */
const entriesDivisor = 128
/** 32 entries a node at least, except the last of each level: enough for any size. */
const levelMax = 10

/** True when a node ends after the last of `entries`; depends on nothing but them. */
export function endsNode(entries: readonly ChunkRef[]): boolean {
  const last = entries.at(-1)
  return last !== undefined && endsAfter(entries.length, last)
}

/** As `endsNode`, of a node with `count` entries, the last of which is `last`. */
export function endsAfter(count: number, last: ChunkRef): boolean {
  if (count < entriesMin) return false
  return count === entriesMax || lowByteOf(last.id) % entriesDivisor === 0
}

export function sizeOf(entries: readonly ChunkRef[]): number {
  return entries.reduce((size, entry) => size + entry.sizeBytes, 0)
}

export function encodeNode({ level, entries }: ListNode): Uint8Array {
  assert(entries.length > 0 && entries.length <= entriesMax, 'a list node has some entries')
  assert(level <= levelMax, 'a chunk list is not that deep')
  const bytes = Buffer.alloc(headerBytes + entries.length * entryBytes)
  bytes.set([magic, version, level, 0])
  let at = headerBytes
  for (const { id, sizeBytes } of entries) {
    bytes.set(chunkIdBytes(id), at)
    bytes.writeUIntLE(sizeBytes, at + chunkIdBytesCount, sizeFieldBytes)
    at += entryBytes
  }
  return bytes
}

/** @throws {DataLossError} when `bytes`, the chunk `id`, is no node of a chunk list. */
export function decodeNode(id: ChunkId, bytes: Uint8Array): ListNode {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const level = view[2] ?? 0
  const sound =
    view[0] === magic &&
    view[1] === version &&
    view[3] === 0 &&
    level <= levelMax &&
    view.length > headerBytes &&
    (view.length - headerBytes) % entryBytes === 0
  if (!sound) throw new DataLossError(`chunk ${id} is not a node of a chunk list`)
  const entries: ChunkRef[] = []
  for (let at = headerBytes; at < view.length; at += entryBytes) {
    const sizeBytes = view.readUIntLE(at + chunkIdBytesCount, sizeFieldBytes)
    entries.push({ id: chunkIdAt(view, at), sizeBytes })
  }
  return { level, entries }
}

/** The first byte of the id, which is the lowest of its little-endian number. */
function lowByteOf(id: ChunkId): number {
  return Number.parseInt(id.slice(0, 2), 16)
}
