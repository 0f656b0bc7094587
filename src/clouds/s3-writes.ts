import { createHash } from 'node:crypto'
import type * as AwsS3 from '@aws-sdk/client-s3'
import { contentHashName, type NewObject, partBytes } from './bucket.ts'

/** So many parts may an object have. */
const partCountMax = 10_000

interface Write {
  readonly bucket: string
  readonly object: NewObject
  readonly signal: AbortSignal
}

/** Writes an object at once, or in parts, each with a sum that the store compares. */
export async function writeS3Object(
  client: AwsS3.S3Client,
  sdk: typeof AwsS3,
  write: Write,
): Promise<void> {
  const { bucket: Bucket, object, signal } = write
  const { key: Key, sizeBytes } = object
  if (sizeBytes > partBytes(sizeBytes, partCountMax)) {
    await writeParts(client, sdk, write)
    return
  }
  const body = bodyOf(await object.read(0, sizeBytes))
  const input = { Bucket, Key, ...body, ContentLength: sizeBytes, ...about(object) }
  await client.send(new sdk.PutObjectCommand(input), { abortSignal: signal })
}

/** The object is there when the last call succeeds; what was sent before one that fails is given up. */
async function writeParts(
  client: AwsS3.S3Client,
  sdk: typeof AwsS3,
  { bucket: Bucket, object, signal }: Write,
): Promise<void> {
  const { key: Key, sizeBytes } = object
  const step = partBytes(sizeBytes, partCountMax)
  const options = { abortSignal: signal }
  const begin = new sdk.CreateMultipartUploadCommand({ Bucket, Key, ...about(object) })
  const { UploadId } = await client.send(begin, options)
  const upload = { Bucket, Key, UploadId }
  try {
    const Parts: AwsS3.CompletedPart[] = []
    for (let offset = 0; offset < sizeBytes; offset += step) {
      const body = bodyOf(await object.read(offset, Math.min(step, sizeBytes - offset)))
      const part = { ...upload, ...body, PartNumber: Parts.length + 1 }
      const { ETag } = await client.send(new sdk.UploadPartCommand(part), options)
      Parts.push({ ETag, PartNumber: part.PartNumber })
    }
    const end = { ...upload, MultipartUpload: { Parts } }
    await client.send(new sdk.CompleteMultipartUploadCommand(end), options)
  } catch (error) {
    // Else its parts take room that nobody sees; where it fails, too, the first error says why.
    await client.send(new sdk.AbortMultipartUploadCommand(upload)).catch(() => undefined)
    throw error
  }
}

function about({ contentHash }: NewObject): { readonly Metadata: Record<string, string> } {
  return { Metadata: { [contentHashName]: contentHash } }
}

function bodyOf(bytes: Uint8Array): { readonly Body: Uint8Array; readonly ContentMD5: string } {
  return { Body: bytes, ContentMD5: createHash('md5').update(bytes).digest('base64') }
}
