/** Encryption of backups: docs/formats/backups.md. */

import { createCipheriv, createDecipheriv, createHash, hkdfSync, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { concatBytes, hexText, utf8 } from '../base/bytes.ts'
import { DataLossError, InvalidArgumentError, PermissionDeniedError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'

/** What opens an encrypted backup; with the file that it is in, where whoever gave it named one. */
export type BackupSecret =
  | { readonly kind: 'passphrase'; readonly text: string; readonly path?: string }
  /** 32 bytes. */
  | { readonly kind: 'key'; readonly bytes: Uint8Array; readonly path?: string }

const keyBytes = 32
const saltBytes = 32
const nonceBytes = 12
const tagBytes = 16
const segmentBytes = 64 * 1024
const magic = 'pachseal'
const sealVersion = 1
const headerBytes = 8 + 4 + saltBytes
const cipher = 'aes-256-gcm'
/** 128 MiB and about half a second, once for each backup. */
const scryptCost = { N: 131_072, r: 8, p: 1 } as const
const scryptMemoryMax = 256 * 1024 * 1024
const costMax = { N: 1_048_576, r: 16, p: 4 } as const

/** How the key of a backup is kept, as its description says it. All in hex. */
export interface WrappedKey {
  readonly kdf: 'scrypt' | 'key'
  readonly N?: number
  readonly r?: number
  readonly p?: number
  readonly salt: string
  readonly nonce: string
  readonly wrapped: string
}

/** The key of one backup. */
export interface BackupKey {
  readonly bytes: Uint8Array
}

const passphraseBytesMax = 1024

/** @throws {InvalidArgumentError} when it would protect nothing. */
export function parsePassphrase(text: string): BackupSecret {
  const line = text.replace(/\r?\n$/, '')
  if (line === '' || utf8(line).length > passphraseBytesMax || line.includes('\n')) {
    throw new InvalidArgumentError(
      `a passphrase is one line of 1 to ${passphraseBytesMax} bytes, and this is none`,
    )
  }
  return { kind: 'passphrase', text: line }
}

/** @throws {InvalidArgumentError} unless it is 64 hex digits. */
export function parseKey(text: string): BackupSecret {
  const hex = text.trim()
  if (/^[0-9a-f]{64}$/i.test(hex)) return { kind: 'key', bytes: Buffer.from(hex, 'hex') }
  throw new InvalidArgumentError(
    'a key file holds 64 hex digits and nothing else: make one with openssl rand -hex 32',
  )
}

/**
 * What is in a file that somebody named.
 *
 * @throws {InvalidArgumentError} that names the file, unless it holds one.
 */
export function secretInFile(kind: BackupSecret['kind'], path: string, text: string): BackupSecret {
  try {
    return { ...(kind === 'key' ? parseKey(text) : parsePassphrase(text)), path }
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new InvalidArgumentError(`${path}: ${error.message}`, { cause: error })
  }
}

/** A new key for the backup `id`, and how it is kept. */
export async function makeKey(
  secret: BackupSecret,
  id: string,
  random: Random,
): Promise<{ readonly key: BackupKey; readonly wrapped: WrappedKey }> {
  const bytes = random.bytes(keyBytes)
  const salt = random.bytes(saltBytes)
  const nonce = random.bytes(nonceBytes)
  const cost = secret.kind === 'passphrase' ? scryptCost : undefined
  const wrap = createCipheriv(cipher, await wrappingKey(secret, salt, cost), nonce)
  wrap.setAAD(utf8(`pachyderm-ts backup ${id}`))
  const wrapped = concatBytes([wrap.update(bytes), wrap.final(), wrap.getAuthTag()])
  return {
    key: { bytes },
    wrapped: {
      kdf: secret.kind === 'passphrase' ? 'scrypt' : 'key',
      ...cost,
      salt: hexText(salt),
      nonce: hexText(nonce),
      wrapped: hexText(wrapped),
    },
  }
}

/** @throws {PermissionDeniedError} when it is the wrong secret. */
export async function openKey(
  secret: BackupSecret,
  id: string,
  stored: WrappedKey,
): Promise<BackupKey> {
  const wanted = stored.kdf === 'scrypt' ? 'passphrase' : 'key'
  if (secret.kind !== wanted) {
    throw new PermissionDeniedError(
      `this backup is opened by ${wanted === 'key' ? 'a key file' : 'a passphrase'}, and ${secret.kind === 'key' ? 'a key file' : 'a passphrase'} was given`,
    )
  }
  const { N = 0, r = 0, p = 0 } = stored
  const cost = stored.kdf === 'scrypt' ? { N, r, p } : undefined
  const isPlausible = N <= costMax.N && r <= costMax.r && p <= costMax.p
  const wrapped = Buffer.from(stored.wrapped, 'hex')
  const nonce = Buffer.from(stored.nonce, 'hex')
  const isSound = wrapped.length === keyBytes + tagBytes && nonce.length === nonceBytes
  if (!isPlausible || !isSound)
    throw new DataLossError('what the backup says of its key is damaged')
  const key = await wrappingKey(secret, Buffer.from(stored.salt, 'hex'), cost)
  const open = createDecipheriv(cipher, key, nonce)
  open.setAAD(utf8(`pachyderm-ts backup ${id}`))
  open.setAuthTag(wrapped.subarray(keyBytes))
  try {
    return { bytes: concatBytes([open.update(wrapped.subarray(0, keyBytes)), open.final()]) }
  } catch (error) {
    throw new PermissionDeniedError(
      `${secret.path === undefined ? `this ${wanted}` : `the ${wanted} in ${secret.path}`} does not open the backup: it is another one that it was made with`,
      { cause: error },
    )
  }
}

const scryptOf = promisify<
  string,
  Uint8Array,
  number,
  { N: number; r: number; p: number; maxmem: number },
  Buffer
>(scrypt)

async function wrappingKey(
  secret: BackupSecret,
  salt: Uint8Array,
  cost: { readonly N: number; readonly r: number; readonly p: number } | undefined,
): Promise<Uint8Array> {
  if (secret.kind === 'passphrase') {
    const options = { ...(cost ?? scryptCost), maxmem: scryptMemoryMax }
    return await scryptOf(secret.text.normalize('NFC'), salt, keyBytes, options)
  }
  return new Uint8Array(hkdfSync('sha256', secret.bytes, salt, 'pachyderm-ts backup', keyBytes))
}

/** The size of a sealed object. */
export function sealedBytes(sizeBytes: number): number {
  return headerBytes + sizeBytes + tagBytes * segmentCount(sizeBytes)
}

/** The size of what is sealed in an object; of what is none, what it would be. */
export function unsealedBytes(sizeBytes: number): number {
  const rest = Math.max(0, sizeBytes - headerBytes)
  return Math.max(0, rest - tagBytes * Math.max(1, Math.ceil(rest / (segmentBytes + tagBytes))))
}

function segmentCount(sizeBytes: number): number {
  return Math.max(1, Math.ceil(sizeBytes / segmentBytes))
}

/**
 * Seals an object under its name, in segments that can be neither exchanged nor left out: each has its
 * number and whether it is the last in its nonce, and a key that no other object has.
 */
export function seal(key: BackupKey, name: string, bytes: Uint8Array, random: Random): Uint8Array {
  const header = Buffer.alloc(headerBytes)
  header.write(magic, 0, 'latin1')
  header.writeUInt32LE(sealVersion, 8)
  header.set(random.bytes(saltBytes), 12)
  const objectKey = keyOf(key, name, header)
  const parts: Uint8Array[] = [header]
  const count = segmentCount(bytes.length)
  for (let index = 0; index < count; index += 1) {
    const segment = bytes.subarray(index * segmentBytes, (index + 1) * segmentBytes)
    const sealing = createCipheriv(cipher, objectKey, nonceOf(index, index === count - 1))
    parts.push(sealing.update(segment), sealing.final(), sealing.getAuthTag())
  }
  return concatBytes(parts)
}

/** The inverse of `seal`. @throws {DataLossError} when a bit of it, its name or its length has changed. */
export function unseal(key: BackupKey, name: string, sealed: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = []
  for (const segment of segmentsOf(key, name, sealed)) {
    if (segment.error !== undefined) throw segment.error
    parts.push(segment.bytes)
  }
  return concatBytes(parts)
}

/**
 * What is left of a sealed object that has changed, each byte at its place: zeros stand for the segments that
 * are lost.
 *
 * @throws {DataLossError} when nothing is left.
 */
export function unsealLeft(key: BackupKey, name: string, sealed: Uint8Array): Uint8Array {
  const segments = [...segmentsOf(key, name, sealed)]
  if (segments.some(({ error }) => error === undefined)) {
    return concatBytes(segments.map(({ bytes }) => bytes))
  }
  throw new DataLossError(`${name} is damaged: nothing of it can be opened`)
}

interface OpenedSegment {
  /** Zeros when there is an error. */
  readonly bytes: Uint8Array
  readonly error?: DataLossError
}

/** @throws {DataLossError} when it does not begin as what is sealed. */
function* segmentsOf(
  key: BackupKey,
  name: string,
  sealed: Uint8Array,
): Generator<OpenedSegment, void> {
  const view = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length)
  const isSealed =
    view.length >= headerBytes + tagBytes &&
    view.toString('latin1', 0, 8) === magic &&
    view.readUInt32LE(8) === sealVersion
  if (!isSealed) throw new DataLossError(`${name} is damaged: it does not begin as what is sealed`)
  const objectKey = keyOf(key, name, view.subarray(0, headerBytes))
  let index = 0
  for (let at = headerBytes; at < view.length; index += 1) {
    const end = Math.min(at + segmentBytes + tagBytes, view.length)
    yield openedSegment(objectKey, name, view, { index, at, end })
    at = end
  }
}

function openedSegment(
  objectKey: Uint8Array,
  name: string,
  view: Buffer,
  { index, at, end }: { readonly index: number; readonly at: number; readonly end: number },
): OpenedSegment {
  const sizeBytes = end - at - tagBytes
  if (sizeBytes < 0) {
    const error = new DataLossError(`${name} is damaged: it is cut short`)
    return { bytes: new Uint8Array(0), error }
  }
  const opening = createDecipheriv(cipher, objectKey, nonceOf(index, end === view.length))
  opening.setAuthTag(view.subarray(end - tagBytes, end))
  try {
    return {
      bytes: concatBytes([opening.update(view.subarray(at, at + sizeBytes)), opening.final()]),
    }
  } catch (cause) {
    const what = `bytes ${at} to ${end} are not those that were sealed`
    const error = new DataLossError(`${name} is damaged: ${what}`, { cause })
    return { bytes: new Uint8Array(sizeBytes), error }
  }
}

function keyOf(key: BackupKey, name: string, header: Uint8Array): Uint8Array {
  const salt = header.subarray(12, 12 + saltBytes)
  const about = createHash('sha256').update(header.subarray(0, 12)).update(name).digest()
  return new Uint8Array(hkdfSync('sha256', key.bytes, salt, about, keyBytes))
}

/** 11 bytes of number, 1 byte that is 1 in the last segment. */
function nonceOf(index: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(nonceBytes)
  nonce.writeUInt32BE(index, 7)
  nonce[11] = isLast ? 1 : 0
  return nonce
}
