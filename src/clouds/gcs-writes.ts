import { createHash } from 'node:crypto'
import { assert, FailedPreconditionError } from '../base/errors.ts'
import { contentHashName, type NewObject, partBytes } from './bucket.ts'

/** Asks for an upload to begin, or for a part of it to be taken. */
export interface GcsUploads {
  /** Resolves to the address that takes the parts. */
  begin(about: object): Promise<string>
  /** Resolves to what is said of the object with the last part; undefined before. */
  send(
    address: string,
    part: { readonly range: string; readonly bytes: Uint8Array },
  ): Promise<{ readonly md5Hash?: string } | undefined>
}

/** An upload has no bound on the number of its parts, but each is a request. */
const partCountMax = 10_000
/** The size of each part but the last is a multiple of it. */
const stepBytes = 256 * 1024

/**
 * Writes an object part by part, as a resumable upload: it is there, whole, when the last part is. Its MD5 is
 * compared with the store's.
 */
export async function writeGcsObject(
  uploads: GcsUploads,
  object: NewObject,
  name: string,
): Promise<void> {
  const { sizeBytes, contentHash } = object
  const address = await uploads.begin({
    name: object.key,
    metadata: { [contentHashName]: contentHash },
  })
  const step = Math.ceil(partBytes(sizeBytes, partCountMax) / stepBytes) * stepBytes
  const md5 = createHash('md5')
  for (let offset = 0; ; offset += step) {
    const bytes = await object.read(offset, Math.min(step, sizeBytes - offset))
    md5.update(bytes)
    const end = offset + bytes.length
    const span = bytes.length === 0 ? '*' : `${offset}-${end - 1}`
    const made = await uploads.send(address, { range: `bytes ${span}/${sizeBytes}`, bytes })
    assert((made === undefined) === end < sizeBytes, 'an upload ends with its last part')
    if (made === undefined) continue
    if (made.md5Hash === md5.digest('base64')) return
    throw new FailedPreconditionError(
      `${name} is not what was sent, or has been written by somebody else meanwhile: write it again`,
    )
  }
}
