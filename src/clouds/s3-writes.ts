import { createHash } from 'node:crypto'
import type * as AwsS3 from '@aws-sdk/client-s3'
import { UnavailableError } from '../base/errors.ts'
import { contentHashName, type NewObject, partBytes } from './bucket.ts'

/** So many parts may an object have. */
const partCountMax = 10_000

interface Write {
  /** For people. */
  readonly name: string
  readonly bucket: string
  readonly object: NewObject
  readonly signal: AbortSignal
  /** Does a request as often as is due; what it throws is a domain error. */
  readonly request: <Answer>(ask: () => Promise<Answer>) => Promise<Answer>
}

/** Writes an object at once, or in parts, each with a sum that the store compares. */
export async function writeS3Object(
  client: AwsS3.S3Client,
  sdk: typeof AwsS3,
  write: Write,
): Promise<void> {
  const { bucket: Bucket, object, signal, request } = write
  const { key: Key, sizeBytes } = object
  if (sizeBytes > partBytes(sizeBytes, partCountMax)) {
    await writeParts(client, sdk, write)
    return
  }
  const body = bodyOf(await object.read(0, sizeBytes))
  const input = { Bucket, Key, ...body, ContentLength: sizeBytes, ...about(object) }
  await request(() => client.send(new sdk.PutObjectCommand(input), { abortSignal: signal }))
}

/** The object is there when the last call succeeds; what was sent before one that fails is given up. */
async function writeParts(client: AwsS3.S3Client, sdk: typeof AwsS3, write: Write): Promise<void> {
  const { bucket: Bucket, object, signal, request } = write
  const { key: Key, sizeBytes } = object
  const step = partBytes(sizeBytes, partCountMax)
  const options = { abortSignal: signal }
  const begin = new sdk.CreateMultipartUploadCommand({ Bucket, Key, ...about(object) })
  const { UploadId } = await request(() => client.send(begin, options))
  const upload = { Bucket, Key, UploadId }
  try {
    const Parts: AwsS3.CompletedPart[] = []
    for (let offset = 0; offset < sizeBytes; offset += step) {
      const body = bodyOf(await object.read(offset, Math.min(step, sizeBytes - offset)))
      const part = { ...upload, ...body, PartNumber: Parts.length + 1 }
      const { ETag } = await request(() => client.send(new sdk.UploadPartCommand(part), options))
      Parts.push({ ETag, PartNumber: part.PartNumber })
    }
    const end = { ...upload, MultipartUpload: { Parts } }
    const isEnded = await request(() =>
      client.send(new sdk.CompleteMultipartUploadCommand(end), options).then(() => true, isGone),
    )
    if (!isEnded) await requireWritten(client, sdk, write)
  } catch (error) {
    // Else its parts take room that nobody sees; where it fails, too, the first error says why.
    await client.send(new sdk.AbortMultipartUploadCommand(upload)).catch(() => undefined)
    throw error
  }
}

/** False for an upload that is not there any more: it may have ended, and the answer was lost. */
function isGone(error: unknown): false {
  if (error instanceof Error && error.name === 'NoSuchUpload') return false
  throw error
}

/** @throws {UnavailableError} when an upload that is gone has not become the object. */
async function requireWritten(
  client: AwsS3.S3Client,
  sdk: typeof AwsS3,
  { name, bucket: Bucket, object, signal, request }: Write,
): Promise<void> {
  const { key: Key, sizeBytes, contentHash } = object
  const head = new sdk.HeadObjectCommand({ Bucket, Key })
  const found = await request(() =>
    client.send(head, { abortSignal: signal }).catch((error: unknown) => {
      if (error instanceof sdk.NotFound) return undefined
      throw error
    }),
  )
  if (found?.ContentLength === sizeBytes && found.Metadata?.[contentHashName] === contentHash)
    return
  throw new UnavailableError(
    `cannot write ${name}: the store has forgotten the upload, and does not have what was sent: write it again`,
  )
}

function about({ contentHash }: NewObject): { readonly Metadata: Record<string, string> } {
  return { Metadata: { [contentHashName]: contentHash } }
}

function bodyOf(bytes: Uint8Array): { readonly Body: Uint8Array; readonly ContentMD5: string } {
  return { Body: bytes, ContentMD5: createHash('md5').update(bytes).digest('base64') }
}
