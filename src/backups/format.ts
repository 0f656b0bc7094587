/** What a backup is made of: docs/formats/backups.md. */

import { createHash } from 'node:crypto'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { hexText, utf8, utf8Text } from '../base/bytes.ts'
import type { Brand } from '../base/brand.ts'
import { DataLossError, FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'
import { isPackName, packBytesMax } from '../storage/pack-bytes.ts'

/** The arrangement of a backup, which this release writes; it reads all up to it. */
export const backupVersion = 1

/** The object that says what the others are; never sealed. */
export const descriptionKey = 'backup'
/** What the description names itself. */
export const formatName = 'pachyderm-ts backup'
/** How the description begins. */
export const descriptionTitle: string = `{"format":"${formatName}"`

/** An object of a backup is a pack, or what names all packs of a huge store. */
export const objectBytesMax: number = 16 * packBytesMax

/** What the metadata's file is cut into. A multiple of its pages, so that a page that stays is in a piece that stays. */
export const pieceBytes: number = 64 * 1024

/** A snapshot's name: when it was taken, and the hash of what it says. It sorts by time. */
export type SnapshotName = Brand<string, 'SnapshotName'>

const snapshotPattern = /^\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{64}$/

/** @throws {InvalidArgumentError} */
export function parseSnapshotName(text: string): SnapshotName {
  if (snapshotPattern.test(text)) return text as SnapshotName
  throw new InvalidArgumentError(
    `not the name of a snapshot: ${JSON.stringify(text.slice(0, 200))}; they look like 20261126T103000.123456Z-0f3c…`,
  )
}

/** When a snapshot was taken, in microseconds since 1970. */
export function takenAtOf(name: SnapshotName): number {
  const [, date = '', time = '', micros = ''] = /^(\d{8})T(\d{6})\.(\d{6})Z/.exec(name) ?? []
  const text = `${date}T${time}`.replace(/^(....)(..)(..)T(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6Z')
  return Date.parse(text) * 1000 + Number(micros)
}

export function snapshotKey(name: SnapshotName): string {
  return `snapshots/${name}`
}

/** Undefined when `key` is no snapshot's. */
export function snapshotOfKey(key: string): SnapshotName | undefined {
  const name = key.startsWith('snapshots/') ? key.slice('snapshots/'.length) : ''
  return snapshotPattern.test(name) ? (name as SnapshotName) : undefined
}

/** Of a pack of contents, as in the object store. */
export function contentPackKey(name: string): string {
  return `packs/${name.slice(0, 2)}/${name}`
}

/** Whether it is a pack of contents, without which a server can do if it must. */
export function isContentKey(key: string): boolean {
  return key.startsWith('packs/')
}

/** Of a pack of pieces of metadata. */
export function metadataPackKey(name: string): string {
  return `metadata/${name.slice(0, 2)}/${name}`
}

export interface BackedUpPack {
  readonly name: string
  readonly sizeBytes: number
  readonly chunkCount: number
}

/** A piece of the metadata's file: its hash, and where it is by the number of its pack. */
export interface MetadataPiece {
  readonly id: string
  readonly pack: number
}

export interface BackedUpMetadata {
  /** Of the file. */
  readonly sizeBytes: number
  /** SHA-256 of the file, hex. */
  readonly hash: string
  readonly packs: readonly BackedUpPack[]
  /** In the order of the file. */
  readonly pieces: readonly MetadataPiece[]
}

/** What parts of a store a snapshot has. */
export type SnapshotScope = 'whole' | 'metadata' | 'data'

/** How much a store had, for people. */
export interface StoreCounts {
  readonly repos: number
  readonly commits: number
}

/** A store, as it was at one instant. */
export interface Snapshot {
  readonly scope: SnapshotScope
  /** Microseconds since 1970. */
  readonly takenAt: number
  /** That has taken it. */
  readonly release: string
  /** The id of the store. */
  readonly store: string
  /** Undefined where whoever took it has not counted. */
  readonly counts?: StoreCounts | undefined
  /** The versions of its tables, by layer. */
  readonly layers: Readonly<Record<string, number>>
  /** Undefined in one of data alone. */
  readonly metadata: BackedUpMetadata | undefined
  /** All that the store listed; in one of metadata alone they are not part of the backup. */
  readonly packs: readonly BackedUpPack[]
  /** Packs that were damaged in the store already, and so are not part of the backup. */
  readonly damaged: readonly string[]
}

/** Why an object is not there, in words. */
export function whyAbsent(isLeftOut: boolean): string {
  return isLeftOut
    ? 'it was damaged in the store when the backup was made, and was left out'
    : 'it is missing'
}

interface StoredSnapshot {
  version?: unknown
  scope?: unknown
  takenAt?: unknown
  release?: unknown
  store?: unknown
  counts?: unknown
  layers?: unknown
  metadata?: { sizeBytes?: unknown; hash?: unknown; packs?: unknown; pieces?: unknown } | null
  packs?: unknown
  damaged?: unknown
}

const pieceEntryBytes = 36

/** The bytes of a snapshot's object, and its name. */
export function encodeSnapshot(snapshot: Snapshot): {
  readonly name: SnapshotName
  readonly bytes: Uint8Array
} {
  const { metadata } = snapshot
  const stored = {
    version: backupVersion,
    ...snapshot,
    metadata:
      metadata === undefined
        ? null
        : {
            ...metadata,
            packs: packRows(metadata.packs),
            pieces: encodePieces(metadata.pieces).toString('base64'),
          },
    packs: packRows(snapshot.packs),
  }
  const bytes = zstdCompressSync(utf8(JSON.stringify(stored)))
  const hash = createHash('sha256').update(bytes).digest('hex')
  return { name: `${timeText(snapshot.takenAt)}-${hash}` as SnapshotName, bytes }
}

/** As `20261126T103000.123456Z`: snapshots of one second have an order, too. */
function timeText(micros: number): string {
  const seconds = new Date(micros / 1000).toISOString().replaceAll(/[-:]|\.\d+Z/g, '')
  return `${seconds}.${String(micros % 1_000_000).padStart(6, '0')}Z`
}

/**
 * @throws {DataLossError} when these are not the bytes that the name says.
 * @throws {FailedPreconditionError} when a newer release wrote it.
 */
export function decodeSnapshot(name: SnapshotName, bytes: Uint8Array): Snapshot {
  const hash = createHash('sha256').update(bytes).digest('hex')
  if (!name.endsWith(`-${hash}`)) {
    throw new DataLossError(`snapshot ${name}: its bytes are not those that were stored`)
  }
  const stored = parseStored(name, bytes)
  requireKnownVersion(`snapshot ${name}`, stored.version)
  const { metadata } = stored
  return {
    scope: scopeOf(stored.scope, name),
    takenAt: Number(stored.takenAt),
    release: String(stored.release),
    store: String(stored.store),
    counts: countsOf(stored.counts),
    layers: layersOf(stored.layers),
    metadata:
      metadata === null || metadata === undefined
        ? undefined
        : {
            sizeBytes: Number(metadata.sizeBytes),
            hash: String(metadata.hash),
            packs: packsOf(metadata.packs, name),
            pieces: decodePieces(Buffer.from(String(metadata.pieces), 'base64')),
          },
    packs: packsOf(stored.packs, name),
    damaged: Array.isArray(stored.damaged) ? stored.damaged.map(String) : [],
  }
}

function parseStored(name: SnapshotName, bytes: Uint8Array): StoredSnapshot {
  try {
    const text = utf8Text(zstdDecompressSync(bytes, { maxOutputLength: objectBytesMax }))
    const stored: unknown = JSON.parse(text)
    if (typeof stored === 'object' && stored !== null) return stored
    throw new TypeError('it is no object')
  } catch (cause) {
    // It has the hash that its name says, so nobody has damaged it.
    throw new DataLossError(`snapshot ${name} is none: it does not read as one`, { cause })
  }
}

/** @throws {FailedPreconditionError} @throws {DataLossError} when it is no version at all. */
export function requireKnownVersion(what: string, version: unknown): void {
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1) {
    throw new DataLossError(`${what} does not say which version of backups it is of`)
  }
  if (version <= backupVersion) return
  throw new FailedPreconditionError(
    `${what} was written by a newer release (version ${version} of backups); this release knows up to ${backupVersion}: use a newer release`,
  )
}

function scopeOf(text: unknown, name: string): SnapshotScope {
  if (text === 'whole' || text === 'metadata' || text === 'data') return text
  throw new DataLossError(`snapshot ${name} does not say what it is of`)
}

function countsOf(stored: unknown): StoreCounts | undefined {
  if (typeof stored !== 'object' || stored === null) return undefined
  const { repos, commits } = stored as Readonly<Record<string, unknown>>
  return { repos: Number(repos), commits: Number(commits) }
}

function layersOf(stored: unknown): Readonly<Record<string, number>> {
  const rows = Object.entries((stored ?? {}) as Record<string, unknown>)
  return Object.fromEntries(rows.map(([layer, version]) => [layer, Number(version)]))
}

function packRows(packs: readonly BackedUpPack[]): readonly (readonly [string, number, number])[] {
  return packs.map(({ name, sizeBytes, chunkCount }) => [name, sizeBytes, chunkCount])
}

function packsOf(rows: unknown, snapshot: string): readonly BackedUpPack[] {
  const list: readonly unknown[] = Array.isArray(rows) ? rows : []
  return list.map((row) => {
    const [name, sizeBytes, chunkCount] = row as readonly unknown[]
    // It becomes part of a key.
    if (typeof name !== 'string' || !isPackName(name)) {
      throw new DataLossError(`snapshot ${snapshot} names a pack that can be none`)
    }
    return { name, sizeBytes: Number(sizeBytes), chunkCount: Number(chunkCount) }
  })
}

/** 36 bytes a piece: its hash, and the number of its pack, little-endian. */
export function encodePieces(pieces: readonly MetadataPiece[]): Buffer {
  const bytes = Buffer.alloc(pieces.length * pieceEntryBytes)
  let at = 0
  for (const { id, pack } of pieces) {
    bytes.write(id, at, 'hex')
    bytes.writeUInt32LE(pack, at + 32)
    at += pieceEntryBytes
  }
  return bytes
}

/** The inverse of `encodePieces`; what is left over at the end is none. */
export function decodePieces(bytes: Uint8Array): readonly MetadataPiece[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const pieces: MetadataPiece[] = []
  for (let at = 0; at + pieceEntryBytes <= view.length; at += pieceEntryBytes) {
    pieces.push({ id: hexText(view.subarray(at, at + 32)), pack: view.readUInt32LE(at + 32) })
  }
  return pieces
}
