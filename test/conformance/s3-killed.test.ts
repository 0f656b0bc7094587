import { CreateBucketCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { freePort } from '../harness/child-program.ts'
import { s3Client, s3Keys } from '../harness/s3-client.ts'

const Bucket = 'master.killed'
const environment = {
  PACHD_S3_ACCESS_KEY: s3Keys.accessKey,
  PACHD_S3_SECRET_KEY: s3Keys.secretKey,
}

test('what was acknowledged is there after the server was killed among many puts', async () => {
  await using directory = await TemporaryDirectory.create()
  const port = await freePort()
  const client = s3Client(port)
  const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
  const start = async (): Promise<ChildPachd> => {
    const pachd = new ChildPachd([...args, '--s3-address', `127.0.0.1:${port}`], { environment })
    await pachd.ready
    return pachd
  }
  const acknowledged: string[] = []
  {
    await using pachd = await start()
    await client.send(new CreateBucketCommand({ Bucket }))
    let next = 0
    const keepPutting = async (): Promise<void> => {
      for (;;) {
        next += 1
        const Key = `d${next % 7}/${next}`
        await client.send(new PutObjectCommand({ Bucket, Key, Body: Key.repeat(next) }))
        acknowledged.push(Key)
        if (acknowledged.length === 100) pachd.signal('SIGKILL')
      }
    }
    const ends = await Promise.allSettled(Array.from({ length: 8 }, keepPutting))
    expect(ends.every(({ status }) => status === 'rejected')).toBe(true)
    await pachd.exit
  }
  await using pachd = await start()
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }))
  const sizes = new Map(Contents.map(({ Key = '', Size }) => [Key, Size]))
  for (const key of acknowledged) {
    const repeats = Number(key.split('/')[1])
    expect([key, sizes.get(key)]).toEqual([key, key.length * repeats])
  }
  expect(acknowledged.length).toBeGreaterThanOrEqual(100)
  // The branch goes on from there.
  await client.send(new PutObjectCommand({ Bucket, Key: 'after', Body: 'x' }))
  client.destroy()
  pachd.signal('SIGTERM')
  expect((await pachd.exit).code).toBe(0)
})
