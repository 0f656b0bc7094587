import { create, toBinary } from '@bufbuild/protobuf'
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { collectBytes, utf8, utf8Text } from '../base/bytes.ts'
import type { Bucket, BucketName } from '../clouds/bucket.ts'
import { BlockRefSchema, ObjectIndexSchema } from '../gen/pfs_pb.ts'
import { openOldObjects } from './objects/open-objects.ts'

const { signal } = new AbortController()
const bytes = utf8('before content after')
const hash = createHash('sha512').update('content').digest('hex')
const block = 'ab'.repeat(16)
const place = create(BlockRefSchema, {
  block: { hash: block },
  range: { lower: 7n, upper: 14n },
})

/** A store with one object and one tag below `root`. */
function storeBelow(root: string, isCompacted: boolean): ReadonlyMap<string, Uint8Array> {
  const tags = create(ObjectIndexSchema, { tags: { 'ab-tag': { hash } } })
  const blocks = [[`${root}block/${block}`, bytes] as const]
  if (!isCompacted) {
    return new Map([
      ...blocks,
      [`${root}object/${hash}`, toBinary(BlockRefSchema, place)],
      [`${root}tag/ab-tag`, toBinary(ObjectIndexSchema, tags)],
    ])
  }
  const objects = create(ObjectIndexSchema, { objects: { [hash]: place } })
  return new Map([
    ...blocks,
    [`${root}index/${hash.slice(0, 2)}`, toBinary(ObjectIndexSchema, objects)],
    [`${root}index/ab`, toBinary(ObjectIndexSchema, tags)],
  ])
}

function bucketOf(store: ReadonlyMap<string, Uint8Array>): Bucket {
  return {
    name: 'gs://bucket',
    async *list(prefix) {
      for (const [key, value] of store) {
        await Promise.resolve()
        if (key.startsWith(prefix)) yield { key, sizeBytes: value.length, version: '1' }
      }
    },
    find: async (key) => {
      const value = store.get(key)
      return value && { key, sizeBytes: value.length, version: '1' }
    },
    async *read({ key }, offset) {
      await Promise.resolve()
      for (const byte of store.get(key)?.subarray(offset) ?? []) yield Uint8Array.of(byte)
    },
  }
}

test.each([
  ['gs://bucket', '/pach/', false],
  ['s3://bucket', 'pach/', false],
  ['s3://bucket', '', true],
  ['gs://bucket/old/pach', 'old/pach/', true],
])('objects in %s are found below %j', async (url, root, isCompacted) => {
  const bucket = bucketOf(storeBelow(root, isCompacted))
  await using objects = await openOldObjects(url, async () => bucket, signal)
  expect(utf8Text(await collectBytes(objects.read(hash), 100))).toBe('content')
  await expect(objects.sizeBytes(hash)).resolves.toBe(7)
  await expect(objects.findTag('ab-tag')).resolves.toBe(hash)
  await expect(objects.findTag('ab-other')).resolves.toBeUndefined()
  const tags: string[] = []
  await expect(objects.listTags('ab-t', (tag) => tags.push(tag))).resolves.toBe(true)
  expect(tags).toEqual(['ab-tag'])
  await expect(objects.sizeBytes('0'.repeat(128))).rejects.toThrow(/there is no object 000/)
  await expect(objects.sizeBytes('../../etc/passwd')).rejects.toThrow(/no name of an object/)
})

test('a place without objects is refused with what it should hold', async () => {
  const empty = bucketOf(new Map())
  const opening = openOldObjects('s3://bucket', async () => empty, signal)
  await expect(opening).rejects.toThrow(/no key begins with object\/, pach\/object\//)
  const missing = openOldObjects('/nonexistent', async () => empty, signal)
  await expect(missing).rejects.toThrow(/should hold the directories object\/ and tag\//)
  const web = openOldObjects('https://example.com', async () => empty, signal)
  await expect(web).rejects.toThrow(/give a directory, or the URL of a bucket/)
})

test('a store that is like S3 is named as it is to pachd --store', async () => {
  const names: unknown[] = []
  const open = async (name: BucketName): Promise<Bucket> => {
    names.push(name)
    return bucketOf(storeBelow('pach/', false))
  }
  await openOldObjects('s3://bucket?endpoint=http://localhost:9000&region=eu-x-1', open, signal)
  expect(names).toEqual([
    { kind: 's3', bucket: 'bucket', endpoint: 'http://localhost:9000', region: 'eu-x-1' },
  ])
  await expect(openOldObjects('s3://bucket?secret=s3cret', open, signal)).rejects.toThrow(
    'error parsing url s3://bucket?…: it has the setting "secret": there are endpoint and region',
  )
})
