import { createCipheriv, createDecipheriv } from 'node:crypto'
import { utf8 } from '../../base/bytes.ts'
import { DataLossError } from '../../base/errors.ts'
import type { SecretKey } from '../secret-keys.ts'

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16
const lengthBytes = 4

/** By name, in the order of the names. */
export type SecretEntries = ReadonlyMap<string, Uint8Array>

/** What values are sealed together with, so that they cannot be moved to another place. */
export interface SealedFor {
  readonly name: string
  readonly revision: string
  readonly entryNames: readonly string[]
}

/**
 * Values as they are stored: a nonce of 12 bytes, the encrypted text, a tag of 16. The text has the
 * values one after the other, each behind its length in 4 bytes. Format: `docs/formats/secrets.md`.
 */
export function sealEntries(
  entries: SecretEntries,
  { key, nonce, place }: SealingParts & { readonly nonce: Uint8Array },
): Uint8Array {
  const cipher = createCipheriv(algorithm, key.bytes, nonce, { authTagLength: tagBytes })
  cipher.setAAD(associatedData(place))
  const parts: Uint8Array[] = [nonce]
  for (const value of entries.values()) {
    const length = Buffer.alloc(lengthBytes)
    length.writeUInt32BE(value.length)
    parts.push(cipher.update(length), cipher.update(value))
  }
  parts.push(cipher.final(), cipher.getAuthTag())
  return Buffer.concat(parts)
}

interface SealingParts {
  readonly key: SecretKey
  readonly place: SealedFor
}

export const sealingNonceBytes: number = nonceBytes

/** @throws {DataLossError} for what was not sealed with this key for this place. */
export function openEntries(sealed: Uint8Array, { key, place }: SealingParts): SecretEntries {
  try {
    const textEnd = sealed.length - tagBytes
    const decipher = createDecipheriv(algorithm, key.bytes, sealed.subarray(0, nonceBytes), {
      authTagLength: tagBytes,
    })
    decipher.setAAD(associatedData(place))
    decipher.setAuthTag(sealed.subarray(textEnd))
    const text = Buffer.concat([
      decipher.update(sealed.subarray(nonceBytes, textEnd)),
      decipher.final(),
    ])
    return entriesOf(text, place.entryNames)
  } catch (error) {
    throw new DataLossError(
      `the values of secret ${place.name} are damaged: they are not what was stored; store them again with update-secret`,
      { cause: error },
    )
  }
}

function entriesOf(text: Buffer, names: readonly string[]): SecretEntries {
  const entries = new Map<string, Uint8Array>()
  let at = 0
  for (const name of names) {
    const start = at + lengthBytes
    const end = start + text.readUInt32BE(at)
    if (end > text.length) throw new RangeError('a value is cut off')
    entries.set(name, text.subarray(start, end))
    at = end
  }
  if (at !== text.length) throw new RangeError('there is more than values')
  return entries
}

function associatedData({ name, revision, entryNames }: SealedFor): Uint8Array {
  return utf8(JSON.stringify(['pachyderm-ts secret 1', name, revision, entryNames]))
}
