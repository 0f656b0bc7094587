import { createHash } from 'node:crypto'
import { FailedPreconditionError, UnavailableError } from '../base/errors.ts'
import { contentHashName, type NewObject, partBytes } from './bucket.ts'

/** Asks for an upload to begin, or for a part of it to be taken. */
export interface GcsUploads {
  /** Resolves to the address that takes the parts. */
  begin(about: object): Promise<string>
  send(
    address: string,
    part: { readonly range: string; readonly bytes: Uint8Array },
  ): Promise<GcsAnswer>
}

export type GcsAnswer =
  | { readonly kind: 'done'; readonly md5Hash: string | undefined }
  /** More is to come; `range` is the header that says what has been kept. */
  | { readonly kind: 'more'; readonly range: string | undefined }

/** An upload has no bound on the number of its parts, but each is a request. */
const partCountMax = 10_000
/** The size of each part but the last is a multiple of it. */
const stepBytes = 256 * 1024

/** How often the store may keep nothing of a part before it is given up. */
const keptNothingMax = 5

/**
 * Writes an object part by part, as a resumable upload: it is there, whole, when the last part is. The store
 * need not keep all of a part: what it has not is sent again. The object's MD5 is compared with the store's.
 */
export async function writeGcsObject(
  uploads: GcsUploads,
  object: NewObject,
  name: string,
): Promise<void> {
  const { sizeBytes, contentHash } = object
  const again = object.again ?? ((request) => request())
  const about = { name: object.key, metadata: { [contentHashName]: contentHash } }
  const address = await again(() => uploads.begin(about))
  const step = Math.ceil(partBytes(sizeBytes, partCountMax) / stepBytes) * stepBytes
  const md5 = createHash('md5')
  let [offset, hashed, keptNothing] = [0, 0, 0]
  for (;;) {
    const bytes = await object.read(offset, Math.min(step, sizeBytes - offset))
    const end = offset + bytes.length
    md5.update(bytes.subarray(hashed - offset))
    hashed = end
    const span = bytes.length === 0 ? '*' : `${offset}-${end - 1}`
    const part = { range: `bytes ${span}/${sizeBytes}`, bytes }
    const answer = await again(() => uploads.send(address, part))
    if (answer.kind === 'done') {
      if (end === sizeBytes && answer.md5Hash === md5.digest('base64')) return
      throw new FailedPreconditionError(
        `${name} is not what was sent, or has been written by somebody else meanwhile: write it again`,
      )
    }
    const kept = keptBytes(answer.range)
    if (kept === undefined || kept < offset || kept > end) {
      throw new UnavailableError(
        `cannot write ${name}: the store says that it has ${JSON.stringify(answer.range)}, and the bytes up to ${end} were sent`,
      )
    }
    keptNothing = kept > offset ? 0 : keptNothing + 1
    if (keptNothing > keptNothingMax) {
      throw new UnavailableError(
        `cannot write ${name}: the store keeps nothing of what comes behind byte ${offset}`,
      )
    }
    offset = kept
  }
}

/** How many bytes from the start on the store has. Without a header, none; undefined: it makes no sense. */
function keptBytes(range: string | undefined): number | undefined {
  if (range === undefined) return 0
  const last = /^bytes=0-(\d+)$/.exec(range)?.[1]
  return last === undefined ? undefined : Number(last) + 1
}
