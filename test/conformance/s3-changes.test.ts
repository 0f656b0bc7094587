import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { collect } from '../harness/files.ts'
import { atomOf, freshPipeline } from '../harness/pipelines.ts'
import { code, refusal, repoOf, s3Client, s3Keys, S3World, sha } from '../harness/s3-client.ts'
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

test('an upload in parts is there when it is completed, and not before', async () => {
  const name = await world.bucket()
  const object = { Bucket: name, Key: 'big' }
  const { UploadId } = await world.client.send(new CreateMultipartUploadCommand(object))
  const pieces = [large.subarray(0, 5 * mib), large.subarray(5 * mib), Buffer.from('the end')]
  const upload = { ...object, UploadId }
  const tags: (string | undefined)[] = []
  // In any order, and one of them twice.
  for (const index of [2, 0, 1, 1]) {
    const part = { ...upload, PartNumber: index + 1, Body: pieces[index] ?? '' }
    const { ETag } = await world.client.send(new UploadPartCommand(part))
    tags[index] = ETag
  }
  const parts = await world.client.send(new ListPartsCommand({ ...upload, MaxParts: 2 }))
  expect(parts).toMatchObject({ IsTruncated: true, NextPartNumberMarker: '2' })
  expect(parts.Parts).toMatchObject([
    { PartNumber: 1, ETag: tags[0], Size: 5 * mib },
    { PartNumber: 2, ETag: tags[1], Size: mib },
  ])
  const listed = await world.client.send(new ListMultipartUploadsCommand({ Bucket: name }))
  expect(listed.Uploads).toMatchObject([{ Key: 'big', UploadId }])
  expect(await world.keys(name)).toEqual([])
  const complete = (Parts: { PartNumber: number; ETag: string | undefined }[]) =>
    world.client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }))
  const named = tags.map((ETag, index) => ({ PartNumber: index + 1, ETag }))
  expect(await code(complete(named.toReversed()))).toBe('InvalidPartOrder')
  expect(await code(complete([{ PartNumber: 1, ETag: '"other"' }]))).toBe('InvalidPart')
  expect(await code(complete([{ PartNumber: 9, ETag: tags[0] }]))).toBe('InvalidPart')
  expect(await code(complete([]))).toBe('MalformedXML')
  const { $metadata: _, ...completed } = await complete(named)
  const whole = Buffer.concat(pieces)
  const { Body, ETag } = await world.client.send(new GetObjectCommand(object))
  expect(sha(await Body?.transformToByteArray())).toBe(sha(whole))
  // The same content has the same tag, however it came.
  expect(await world.put(name, 'whole', whole)).toBe(ETag)
  // Whoever has not heard the answer is told again; what is there since then stays.
  await world.put(name, 'big', 'newer')
  expect(await complete(named)).toMatchObject({ ...completed, ETag })
  expect(await world.get(name, 'big')).toBe('newer')
  for (const other of [{ Key: 'other' }, { UploadId: 'other' }]) {
    const call = { ...upload, ...other, MultipartUpload: { Parts: named } }
    expect(await code(world.client.send(new CompleteMultipartUploadCommand(call)))).toBe(
      'NoSuchUpload',
    )
  }
  expect(await world.commitCount(name)).toBe(4)
})

test('two who complete an upload at the same time are told the same', async () => {
  const name = await world.bucket()
  const object = { Bucket: name, Key: 'both' }
  const { UploadId } = await world.client.send(new CreateMultipartUploadCommand(object))
  const upload = { ...object, UploadId }
  const { ETag } = await world.client.send(
    new UploadPartCommand({ ...upload, PartNumber: 1, Body: large }),
  )
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
  const complete = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload })
  const [first, second] = await Promise.all([
    world.client.send(complete),
    world.client.send(complete),
  ])
  expect(first.ETag).toBe(second.ETag)
  expect(await world.commitCount(name)).toBe(2)
})

test('parts are copied, and an upload is aborted', async () => {
  const name = await world.bucket()
  await world.put(name, 'source', large)
  const object = { Bucket: name, Key: 'joined' }
  const { UploadId } = await world.client.send(new CreateMultipartUploadCommand(object))
  const upload = { ...object, UploadId }
  const copy = async (PartNumber: number, range?: string) => {
    const CopySource = `${name}/source`
    const part = { ...upload, PartNumber, CopySource, ...(range && { CopySourceRange: range }) }
    const { CopyPartResult } = await world.client.send(new UploadPartCopyCommand(part))
    return { PartNumber, ETag: CopyPartResult?.ETag }
  }
  const Parts = [await copy(1), await copy(2, 'bytes=0-9')]
  expect(await code(copy(3, `bytes=0-${large.length}`))).toBe('InvalidRange')
  await world.client.send(
    new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }),
  )
  const { Body } = await world.client.send(new GetObjectCommand(object))
  const joined = Buffer.concat([large, large.subarray(0, 10)])
  expect(sha(await Body?.transformToByteArray())).toBe(sha(joined))
  const second = await world.client.send(new CreateMultipartUploadCommand(object))
  const aborted = { ...object, UploadId: second.UploadId }
  await world.client.send(new UploadPartCommand({ ...aborted, PartNumber: 1, Body: 'x' }))
  await world.client.send(new AbortMultipartUploadCommand(aborted))
  expect(await code(world.client.send(new ListPartsCommand(aborted)))).toBe('NoSuchUpload')
  const elsewhere = { ...upload, Key: 'elsewhere' }
  expect(await code(world.client.send(new ListPartsCommand(elsewhere)))).toBe('NoSuchUpload')
})

test('an upload outlives a collection and a restart, and what became of it another', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  const object = { Bucket: 'master.kept', Key: 'f' }
  const options = { root, s3: { keys: s3Keys } }
  let upload: { Bucket: string; Key: string; UploadId: string | undefined }
  let ETag: string | undefined
  {
    await using pachd = await TestPachd.start(options)
    const client = s3Client(pachd.s3Port)
    await client.send(new CreateBucketCommand({ Bucket: object.Bucket }))
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(object))
    upload = { ...object, UploadId }
    const part = { ...upload, PartNumber: 1, Body: large }
    ETag = (await client.send(new UploadPartCommand(part))).ETag
    await collect(pachd.admin.collectGarbage({}))
    client.destroy()
  }
  await using pachd = await TestPachd.start(options)
  const client = s3Client(pachd.s3Port)
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
  await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload }))
  const { Body } = await client.send(new GetObjectCommand(object))
  expect(sha(await Body?.transformToByteArray())).toBe(sha(large))
  client.destroy()
  await pachd[Symbol.asyncDispose]()
  await using later = await TestPachd.start(options)
  const again = s3Client(later.s3Port)
  const complete = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload })
  expect(await again.send(complete)).toMatchObject({ Bucket: object.Bucket, Key: 'f' })
  again.destroy()
})

test('copies go by reference, within a bucket, between buckets and out of old commits', async () => {
  const name = await world.bucket()
  const other = await world.bucket()
  const tag = await world.put(name, 'dir/a b+c%.txt', large)
  const id = await world.head(name)
  await world.put(name, 'dir/a b+c%.txt', 'changed')
  const key = encodeURIComponent('dir/a b+c%.txt')
  const copy = async (CopySource: string, Key: string, more: object = {}) =>
    world.client.send(new CopyObjectCommand({ Bucket: other, Key, CopySource, ...more }))
  const { CopyObjectResult } = await copy(`${id}.${repoOf(name)}/${key}`, 'old')
  expect(CopyObjectResult?.ETag).toBe(tag)
  await copy(`/${name}/${key}`, 'new')
  expect(await world.get(other, 'new')).toBe('changed')
  await copy(`${other}/new`, 'new')
  expect(await code(copy(`${name}/none`, 'x'))).toBe('NoSuchKey')
  expect(await code(copy('nonsense', 'x'))).toBe('InvalidArgument')
  expect(await code(copy(`${other}/new`, 'x', { CopySourceIfMatch: '"no"' }))).toBe(
    'PreconditionFailed',
  )
  expect(await world.keys(other)).toEqual(['new', 'old'])
})

test('deletions: one, many in one commit, and what is not there', async () => {
  const name = await world.bucket()
  for (const key of ['a', 'b/1', 'b/2', 'c', 'd']) await world.put(name, key, key)
  await world.client.send(new DeleteObjectCommand({ Bucket: name, Key: 'none' }))
  await world.client.send(new DeleteObjectCommand({ Bucket: name, Key: 'b' }))
  await world.client.send(new DeleteObjectCommand({ Bucket: name, Key: '//' }))
  const before = await world.commitCount(name)
  const Objects = ['a', 'b/1', 'b/2', 'none', '../x', 'a'].map((Key) => ({ Key }))
  const { Deleted, Errors } = await world.client.send(
    new DeleteObjectsCommand({ Bucket: name, Delete: { Objects } }),
  )
  expect([Deleted?.length, Errors]).toEqual([6, undefined])
  expect(await world.keys(name)).toEqual(['c', 'd'])
  expect(await world.commitCount(name)).toBe(before + 1)
  const quiet = { Bucket: name, Delete: { Objects: [{ Key: 'c' }], Quiet: true } }
  expect((await world.client.send(new DeleteObjectsCommand(quiet))).Deleted).toBeUndefined()
})

test('a key with a slash at its end is a directory, which is there while nothing is in it', async () => {
  const name = await world.bucket()
  await world.put(name, 'd/', '')
  expect(await world.keys(name)).toEqual(['d/'])
  const head = new HeadObjectCommand({ Bucket: name, Key: 'd/' })
  expect(await world.client.send(head)).toMatchObject({ ContentLength: 0 })
  expect(await code(world.client.send(new GetObjectCommand({ Bucket: name, Key: 'd' })))).toBe(
    'NoSuchKey',
  )
  await world.put(name, 'd/f', 'x')
  expect(await world.keys(name)).toEqual(['d/f'])
  await world.put(name, 'd/', '')
  await world.client.send(new DeleteObjectCommand({ Bucket: name, Key: 'd/' }))
  expect(await world.get(name, 'd/f')).toBe('x')
  expect(await code(world.put(name, 'e/', 'bytes'))).toBe('InvalidArgument')
  expect(await code(world.client.send(new GetObjectCommand({ Bucket: name, Key: 'd/f/' })))).toBe(
    'NoSuchKey',
  )
})

test('keys that are no paths, and files in each other’s way, are refused with a reason', async () => {
  const name = await world.bucket()
  await world.put(name, 'a/b', 'x')
  for (const key of [
    'a//b',
    '/a',
    '../a',
    'a/./b',
    'a/../b',
    'n\0ul',
    `long/${'x'.repeat(1100)}`,
  ]) {
    const refused = await refusal(
      world.client.send(new PutObjectCommand({ Bucket: name, Key: key, Body: 'x' })),
    )
    expect([key, refused.name]).toEqual([key, 'InvalidArgument'])
    expect(refused.message).toContain('is no path of a file')
    expect(await code(world.client.send(new GetObjectCommand({ Bucket: name, Key: key })))).toBe(
      'NoSuchKey',
    )
  }
  const onto = await refusal(
    world.client.send(new PutObjectCommand({ Bucket: name, Key: 'a', Body: 'x' })),
  )
  expect([onto.name, onto.message]).toEqual(['InvalidRequest', expect.stringContaining('"/a"')])
  expect(await code(world.put(name, 'a/b/c', 'x'))).toBe('InvalidRequest')
  expect(await world.keys(name)).toEqual(['a/b'])
})

test('commits and the branches of pipelines are read only', async () => {
  const name = await world.bucket()
  await world.put(name, 'a', 'x')
  const id = await world.head(name)
  const old = `${id}.${repoOf(name)}`
  const writes = (Bucket: string): (() => Promise<unknown>)[] => [
    () => world.client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'y' })),
    () => world.client.send(new DeleteObjectCommand({ Bucket, Key: 'a' })),
    () =>
      world.client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'a' }] } })),
    () => world.client.send(new CopyObjectCommand({ Bucket, Key: 'b', CopySource: `${name}/a` })),
    () => world.client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'a' })),
    () => world.client.send(new DeleteBucketCommand({ Bucket })),
  ]
  for (const write of writes(old)) {
    const refused = await refusal(write())
    expect([refused.name, refused.message]).toEqual([
      'AccessDenied',
      expect.stringContaining('no branch'),
    ])
  }
  const command = 'cp -r ${PFS:-/pfs}/in/. ${PFS:-/pfs}/out'
  const pipeline = await freshPipeline(world.pachd, command, atomOf(repoOf(name), '/', 'in'))
  await expect.poll(() => world.get(`master.${pipeline}`, 'a').catch(() => '')).toBe('x')
  for (const write of writes(`master.${pipeline}`)) {
    const refused = await refusal(write())
    expect([refused.name, refused.message]).toEqual([
      'AccessDenied',
      expect.stringContaining(`written by pipeline ${pipeline}`),
    ])
  }
})
