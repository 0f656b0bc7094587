import { Readable } from 'node:stream'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketAclCommand,
  GetBucketLocationCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectVersionsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutObjectCommand,
  type S3ServiceException,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { freshRepo } from '../harness/expectations.ts'
import { commitOf } from '../harness/files.ts'
import { code, repoOf, S3World, s3Client, s3Keys, sha } from '../harness/s3-client.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const mib = 1024 * 1024
const large = seededBytes(7, 6 * mib)

let world: S3World
beforeAll(async () => {
  world = await S3World.start()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

test('a bucket is a branch: made, listed, found and deleted', async () => {
  const name = 'exp.1.s3-branches'
  await world.client.send(new CreateBucketCommand({ Bucket: name }))
  expect(await code(world.client.send(new CreateBucketCommand({ Bucket: name })))).toBe(
    'BucketAlreadyOwnedByYou',
  )
  const { Buckets = [] } = await world.client.send(new ListBucketsCommand({}))
  expect(Buckets.map(({ Name }) => Name)).toContain(name)
  const { branchInfo } = await world.pachd.pfs.listBranch({ repo: { name: 's3-branches' } })
  expect(branchInfo.map((info) => info.name)).toEqual(['exp.1'])
  await world.client.send(new HeadBucketCommand({ Bucket: name }))
  const location = await world.client.send(new GetBucketLocationCommand({ Bucket: name }))
  expect(location.LocationConstraint ?? '').toBe('')
  const versioning = await world.client.send(new GetBucketVersioningCommand({ Bucket: name }))
  expect(versioning.Status).toBeUndefined()
  await world.put(name, 'a', '1')
  expect(await code(world.client.send(new DeleteBucketCommand({ Bucket: name })))).toBe(
    'BucketNotEmpty',
  )
  await world.client.send(new DeleteObjectCommand({ Bucket: name, Key: 'a' }))
  await world.client.send(new DeleteBucketCommand({ Bucket: name }))
  expect(await code(world.client.send(new GetBucketLocationCommand({ Bucket: name })))).toBe(
    'NoSuchBucket',
  )
  await world.pachd.pfs.inspectRepo({ repo: { name: 's3-branches' } })
  for (const wrong of ['master.a~b', 'x:y.repo', 'master.']) {
    expect(await code(world.client.send(new CreateBucketCommand({ Bucket: wrong })))).toBe(
      'InvalidBucketName',
    )
  }
})

test('a put is a commit, read back by its branch, its id and a repo alone', async () => {
  const name = await world.bucket()
  const tag = await world.put(name, 'dir/a.txt', 'hello')
  expect(tag).toMatch(/^"[0-9a-f]{64}-1"$/)
  expect(await world.commitCount(name)).toBe(2)
  const id = await world.head(name)
  for (const one of [name, repoOf(name), `${id}.${repoOf(name)}`, `master^0.${repoOf(name)}`]) {
    expect(await world.get(one, 'dir/a.txt')).toBe('hello')
  }
  const head = await world.client.send(new HeadObjectCommand({ Bucket: name, Key: 'dir/a.txt' }))
  expect(head).toMatchObject({
    ETag: tag,
    ContentLength: 5,
    ContentType: 'text/plain; charset=utf-8',
    AcceptRanges: 'bytes',
  })
  expect(await world.put(name, 'dir/a.txt', 'hello')).toBe(tag)
  expect(await world.commitCount(name)).toBe(2)
})

test('files of any size come back as they were, whatever way they were sent', async () => {
  const name = await world.bucket()
  const bodies: Readonly<Record<string, () => PutBody>> = {
    empty: () => ({ bytes: new Uint8Array(0) }),
    inline: () => ({ bytes: seededBytes(1, 64) }),
    row: () => ({ bytes: seededBytes(2, 65 * 1024) }),
    large: () => ({ bytes: large }),
    // Sent in signed or unsigned chunks, with a checksum behind them.
    stream: () => ({ bytes: large, isStream: true }),
    'stream-empty': () => ({ bytes: new Uint8Array(0), isStream: true }),
  }
  for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
    for (const [key, body] of Object.entries(bodies)) {
      const { bytes, isStream } = body()
      const sent = {
        Bucket: name,
        Key: `${ChecksumAlgorithm}/${key}`,
        Body: isStream === true ? Readable.from(slices(bytes)) : bytes,
        ContentLength: bytes.length,
        ChecksumAlgorithm,
      }
      await world.client.send(new PutObjectCommand(sent))
      const { Body } = await world.client.send(
        new GetObjectCommand({ Bucket: name, Key: sent.Key }),
      )
      const found = await Body?.transformToByteArray()
      expect([sent.Key, sha(found)]).toEqual([sent.Key, sha(bytes)])
    }
  }
})

interface PutBody {
  readonly bytes: Uint8Array
  readonly isStream?: true
}

function* slices(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000)
}

test('ranges and conditions are those of S3', async () => {
  const name = await world.bucket()
  const tag = await world.put(name, 'f', '0123456789')
  const object = { Bucket: name, Key: 'f' }
  expect(await world.get(name, 'f', 'bytes=2-4')).toBe('234')
  expect(await world.get(name, 'f', 'bytes=-3')).toBe('789')
  expect(await world.get(name, 'f', 'bytes=8-')).toBe('89')
  expect(await world.get(name, 'f', 'bytes=0-1,4-5')).toBe('0123456789')
  expect(
    await code(world.client.send(new GetObjectCommand({ ...object, Range: 'bytes=10-' }))),
  ).toBe('InvalidRange')
  const part = await world.client.send(new GetObjectCommand({ ...object, Range: 'bytes=2-4' }))
  expect(part.ContentRange).toBe('bytes 2-4/10')
  const statusOf = async (conditions: object): Promise<number | undefined> => {
    const sent = world.client.send(new GetObjectCommand({ ...object, ...conditions }))
    const done = await sent.catch((error: unknown) => error as S3ServiceException)
    return done.$metadata.httpStatusCode
  }
  const [past, future] = [new Date(0), new Date(Date.now() + 1e8)]
  expect(await statusOf({ IfMatch: tag })).toBe(200)
  expect(await statusOf({ IfMatch: '"other"' })).toBe(412)
  expect(await statusOf({ IfNoneMatch: tag })).toBe(304)
  expect(await statusOf({ IfNoneMatch: '"other"' })).toBe(200)
  expect(await statusOf({ IfModifiedSince: past })).toBe(200)
  expect(await statusOf({ IfModifiedSince: future })).toBe(304)
  expect(await statusOf({ IfUnmodifiedSince: past })).toBe(412)
  expect(await statusOf({ IfUnmodifiedSince: past, IfMatch: tag })).toBe(200)
  const again = new PutObjectCommand({ ...object, Body: 'x', IfNoneMatch: '*' })
  expect(await code(world.client.send(again))).toBe('PreconditionFailed')
  const fresh = new PutObjectCommand({ Bucket: name, Key: 'g', Body: 'x', IfNoneMatch: '*' })
  await world.client.send(fresh)
  const replaced = new PutObjectCommand({ ...object, Body: 'y', IfMatch: tag })
  await world.client.send(replaced)
  expect(await code(world.client.send(replaced))).toBe('PreconditionFailed')
  expect(await world.get(name, 'f')).toBe('y')
})

test('of many puts at once all are there, in fewer commits', async () => {
  const name = await world.bucket()
  const names = Array.from({ length: 100 }, (_, index) => `many/${index}`)
  await Promise.all(names.map(async (key) => world.put(name, key, key)))
  expect((await world.keys(name)).toSorted()).toEqual(names.toSorted())
  expect(await world.commitCount(name)).toBeLessThan(60)
})

test('what is put while the head is an open commit goes into it', async () => {
  const name = await world.bucket()
  const repo = repoOf(name)
  const { id } = await world.pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  await world.put(name, 'a', '1')
  await world.put(name, 'b', '2')
  await world.put(name, 'd/', '')
  await world.client.send(new DeleteObjectCommand({ Bucket: name, Key: 'a' }))
  const { Body, ...read } = await world.client.send(
    new GetObjectCommand({ Bucket: name, Key: 'b' }),
  )
  expect(await Body?.transformToString()).toBe('2')
  expect(read.ContentLength).toBe(1)
  await world.pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  expect(await world.keys(name)).toEqual(['b', 'd/'])
  expect(await world.head(name)).toBe(id)
  expect(await world.commitCount(name)).toBe(2)
})

test('lists by prefix, delimiter and page, in the order of bytes', async () => {
  const name = await world.bucket()
  const all = ['a-b', 'a/1', 'a/2', 'a/b/c', 'a0', 'b', 'z&<>"\' +%é\u0001']
  for (const key of all) await world.put(name, key, 'x')
  expect(await world.keys(name)).toEqual([...all.slice(0, 6), 'z&<>"\' +%é\u0001'])
  const shallow = await world.client.send(
    new ListObjectsV2Command({ Bucket: name, Delimiter: '/' }),
  )
  expect(shallow.CommonPrefixes).toEqual([{ Prefix: 'a/' }])
  expect(shallow.KeyCount).toBe(5)
  for (const Delimiter of [undefined, '/', 'b', '1']) {
    for (const MaxKeys of [1, 2, 3, 1000]) {
      expect(await pages(name, { Delimiter, MaxKeys, version: 2 })).toEqual(
        await pages(name, { Delimiter, MaxKeys: 1000, version: 2 }),
      )
      expect(await pages(name, { Delimiter, MaxKeys, version: 1 })).toEqual(
        await pages(name, { Delimiter, MaxKeys: 1000, version: 2 }),
      )
    }
  }
  const page = { Bucket: name, EncodingType: 'url', Prefix: 'z' } as const
  const encoded = await world.client.send(new ListObjectsV2Command(page))
  expect(encoded.Contents?.[0]?.Key).toBe('z%26%3C%3E%22%27%20%2B%25%C3%A9%01')
  const behind = { Bucket: name, StartAfter: 'a/2', Prefix: 'a' }
  const after = await world.client.send(new ListObjectsV2Command(behind))
  expect(after.Contents?.map(({ Key }) => Key)).toEqual(['a/b/c', 'a0'])
  const none = await world.client.send(new ListObjectsV2Command({ Bucket: name, MaxKeys: 0 }))
  expect([none.KeyCount, none.IsTruncated]).toEqual([0, false])
  const bad = new ListObjectsV2Command({ Bucket: name, ContinuationToken: 'nonsense' })
  expect(await code(world.client.send(bad))).toBe('InvalidArgument')
})

async function pages(
  Bucket: string,
  options: {
    readonly Delimiter: string | undefined
    readonly MaxKeys: number
    readonly version: 1 | 2
  },
): Promise<{ readonly keys: string[]; readonly prefixes: string[] }> {
  const { Delimiter, MaxKeys, version } = options
  const found = { keys: [] as string[], prefixes: [] as string[] }
  let token: string | undefined
  for (let page = 0; page < 100; page += 1) {
    const asked = { Bucket, MaxKeys, ...(Delimiter !== undefined && { Delimiter }) }
    const listed =
      version === 2
        ? await world.client.send(
            new ListObjectsV2Command({ ...asked, ...(token && { ContinuationToken: token }) }),
          )
        : await world.client.send(
            new ListObjectsCommand({ ...asked, ...(token && { Marker: token }) }),
          )
    const { Contents = [], CommonPrefixes = [] } = listed
    expect(Contents.length + CommonPrefixes.length).toBeLessThanOrEqual(MaxKeys)
    found.keys.push(...Contents.map(({ Key }) => Key ?? ''))
    found.prefixes.push(...CommonPrefixes.map(({ Prefix }) => Prefix ?? ''))
    token = 'NextMarker' in listed ? listed.NextMarker : undefined
    if ('NextContinuationToken' in listed) token = listed.NextContinuationToken
    if (listed.IsTruncated !== true) return found
  }
  throw new Error('it goes on for ever')
}

test('the pages of a listing are of one commit', async () => {
  const name = await world.bucket()
  for (const key of ['a', 'b', 'c']) await world.put(name, key, key)
  const first = await world.client.send(new ListObjectsV2Command({ Bucket: name, MaxKeys: 1 }))
  await world.client.send(new DeleteObjectCommand({ Bucket: name, Key: 'b' }))
  const ContinuationToken = first.NextContinuationToken
  const rest = await world.client.send(
    new ListObjectsV2Command({ Bucket: name, ContinuationToken }),
  )
  expect(rest.Contents?.map(({ Key }) => Key)).toEqual(['b', 'c'])
  expect(await world.keys(name)).toEqual(['a', 'c'])
})

test('what is not there, and what is not S3 here, has its code', async () => {
  const name = await world.bucket()
  const there = { Bucket: name, Key: 'none' }
  expect(await code(world.client.send(new GetObjectCommand(there)))).toBe('NoSuchKey')
  expect(await code(world.client.send(new HeadObjectCommand(there)))).toBe('NotFound')
  for (const missing of ['none.none', `none.${repoOf(name)}`, 'none']) {
    const object = { Bucket: missing, Key: 'k', Body: 'x' }
    expect(await code(world.client.send(new PutObjectCommand(object)))).toBe('NoSuchBucket')
    expect(await code(world.client.send(new ListObjectsV2Command({ Bucket: missing })))).toBe(
      'NoSuchBucket',
    )
  }
  expect(await code(world.client.send(new GetBucketPolicyCommand({ Bucket: name })))).toBe(
    'NoSuchBucketPolicy',
  )
  const acl = await world.client.send(new GetBucketAclCommand({ Bucket: name }))
  expect(acl.Grants).toMatchObject([{ Permission: 'FULL_CONTROL' }])
  const policy = new PutBucketPolicyCommand({ Bucket: name, Policy: '{}' })
  expect(await code(world.client.send(policy))).toBe('NotImplemented')
  expect(await code(world.client.send(new ListObjectVersionsCommand({ Bucket: name })))).toBe(
    'NotImplemented',
  )
})

test('who signs with another key, or not at all, is refused', async () => {
  const name = await world.bucket()
  const as = async (accessKeyId: string, secretAccessKey: string): Promise<string> => {
    const other = s3Client(world.pachd.s3Port, { credentials: { accessKeyId, secretAccessKey } })
    try {
      return await code(other.send(new ListObjectsV2Command({ Bucket: name })))
    } finally {
      other.destroy()
    }
  }
  expect(await as('other', s3Keys.secretKey)).toBe('InvalidAccessKeyId')
  expect(await as(s3Keys.accessKey, 'other')).toBe('SignatureDoesNotMatch')
  const url = `http://127.0.0.1:${world.pachd.s3Port}/${name}`
  const anybody = await fetch(url)
  expect([anybody.status, await anybody.text()]).toEqual([
    403,
    expect.stringContaining('<Code>AccessDenied</Code>'),
  ])
})

test('without keys, anybody is let in, which is logged once', async () => {
  await using open = await TestPachd.start()
  await freshRepo(open)
  const any = s3Client(open.s3Port, {
    credentials: { accessKeyId: 'any', secretAccessKey: 'body' },
  })
  await any.send(new CreateBucketCommand({ Bucket: 'master.open' }))
  const Body = Readable.from(slices(large))
  const object = { Bucket: 'master.open', Key: 'f' }
  await any.send(new PutObjectCommand({ ...object, Body, ContentLength: large.length }))
  any.destroy()
  const plain = await fetch(`http://127.0.0.1:${open.s3Port}/master.open/f`)
  expect(sha(new Uint8Array(await plain.arrayBuffer()))).toBe(sha(large))
  expect(open.log.filter((line) => line.includes('S3 is served to anybody'))).toHaveLength(1)
})
