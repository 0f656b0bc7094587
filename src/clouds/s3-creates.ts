import type * as AwsS3 from '@aws-sdk/client-s3'
import { UnavailableError } from '../base/errors.ts'
import type { WholeBytes } from './bucket.ts'

interface Create {
  readonly bucket: string
  readonly key: string
  readonly bytes: WholeBytes
  readonly signal: AbortSignal
}

/** Two came at once: who asks again finds the other's. */
const conflictStatus = 409
const presentStatus = 412

/**
 * Makes an object by one request, with a sum that the store compares. Not in parts: Ceph's, for one, takes
 * no condition for what is put together of parts.
 */
export async function createS3Object(
  client: AwsS3.S3Client,
  sdk: typeof AwsS3,
  { bucket: Bucket, key: Key, bytes, signal }: Create,
  { ifAbsent }: { readonly ifAbsent: boolean },
): Promise<boolean> {
  const body = bytes.open()
  try {
    const command = new sdk.PutObjectCommand({
      Bucket,
      Key,
      Body: body,
      ContentLength: bytes.sizeBytes,
      ContentMD5: Buffer.from(bytes.md5).toString('base64'),
      ...(ifAbsent && { IfNoneMatch: '*' }),
    })
    await client.send(command, { abortSignal: signal })
    return true
  } catch (error) {
    const { httpStatusCode } = (error as Partial<AwsS3.S3ServiceException>).$metadata ?? {}
    if (ifAbsent && httpStatusCode === presentStatus) return false
    if (httpStatusCode !== conflictStatus) throw error
    throw new UnavailableError(`cannot write ${Key}: somebody else is writing it`, { cause: error })
  } finally {
    body.destroy()
  }
}
