import { createHash } from 'node:crypto'
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { freshName } from './expectations.ts'
import { commitOf } from './files.ts'
import { TestPachd } from './test-pachd.ts'

/** What the tests that check signatures sign with. */
export const s3Keys = { accessKey: 'AKIDEXAMPLE', secretKey: 'not/so+secret' } as const

/** Amazon's own client, for a gateway on this machine. */
export function s3Client(port: number, config: S3ClientConfig = {}): S3Client {
  const { accessKey: accessKeyId, secretKey: secretAccessKey } = s3Keys
  return new S3Client({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'eu-somewhere-7',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
    ...config,
  })
}

/** The code of what a call is refused with, and what it says. */
export async function refusal(call: Promise<unknown>): Promise<S3ServiceException> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof S3ServiceException) return error
  throw error instanceof Error ? error : new Error('it was not refused')
}

export async function code(call: Promise<unknown>): Promise<string> {
  return (await refusal(call)).name
}

export function sha(bytes: Uint8Array | undefined): string {
  return createHash('sha256')
    .update(bytes ?? 'none')
    .digest('hex')
}

export function repoOf(bucket: string): string {
  return bucket.split('.').at(-1) ?? ''
}

/** A server that takes what is signed with `s3Keys`, and a client that does so. */
export class S3World implements AsyncDisposable {
  readonly pachd: TestPachd
  readonly client: S3Client

  private constructor(pachd: TestPachd) {
    this.pachd = pachd
    this.client = s3Client(pachd.s3Port)
  }

  static async start(): Promise<S3World> {
    return new S3World(await TestPachd.start({ s3: { keys: s3Keys, domain: 's3.example' } }))
  }

  /** A bucket of its own. */
  async bucket(): Promise<string> {
    const name = `master.${freshName('s3')}`
    await this.client.send(new CreateBucketCommand({ Bucket: name }))
    return name
  }

  async put(Bucket: string, Key: string, content: string | Uint8Array): Promise<string> {
    const Body = Buffer.from(content)
    const { ETag } = await this.client.send(new PutObjectCommand({ Bucket, Key, Body }))
    return ETag ?? ''
  }

  async get(Bucket: string, Key: string, Range?: string): Promise<string> {
    const { Body } = await this.client.send(
      new GetObjectCommand({ Bucket, Key, ...(Range !== undefined && { Range }) }),
    )
    return (await Body?.transformToString()) ?? ''
  }

  async keys(Bucket: string): Promise<string[]> {
    const { Contents = [] } = await this.client.send(new ListObjectsV2Command({ Bucket }))
    return Contents.map(({ Key }) => Key ?? '')
  }

  async commitCount(bucket: string): Promise<number> {
    const { commitInfo } = await this.pachd.pfs.listCommit({ repo: { name: repoOf(bucket) } })
    return commitInfo.length
  }

  async head(bucket: string): Promise<string> {
    const { pfs } = this.pachd
    const info = await pfs.inspectCommit({ commit: commitOf(repoOf(bucket), 'master') })
    return info.commit?.id ?? ''
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.destroy()
    await this.pachd[Symbol.asyncDispose]()
  }
}
