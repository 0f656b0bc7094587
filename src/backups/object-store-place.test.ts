import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemRandom } from '../base/random.ts'
import { MemoryBucket } from '../testing/memory-bucket.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { Backup } from './backup.ts'
import { BucketPlace, DirectoryPlace } from './object-store-place.ts'
import { parseKey } from './sealing.ts'

test('a file in the place of a directory is said to be one, and stays', async () => {
  await using directory = await TemporaryDirectory.create()
  const path = directory.join('one.tar')
  await writeFile(path, 'x')
  await expect(DirectoryPlace.open(path)).rejects.toThrow(
    `${path} is no directory: name one for backups (pachctl extract --file makes an archive)`,
  )
})

test('a file above the directory is said to be in its place', async () => {
  await using directory = await TemporaryDirectory.create()
  const path = directory.join('file')
  await writeFile(path, 'x')
  for (const below of [join(path, 'sub'), join(path, 'sub', 'backup')]) {
    await expect(DirectoryPlace.open(below)).rejects.toThrow(
      `${below} cannot be a directory, for a file is in the place of one above it`,
    )
  }
})

test('of two that begin a backup in a new directory at once, one is told to wait, and the other is whole', async () => {
  await using directory = await TemporaryDirectory.create()
  const path = directory.join('new')
  const begun = await Promise.allSettled([DirectoryPlace.open(path), DirectoryPlace.open(path)])
  const [won] = begun.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const refusals = begun.flatMap((each) =>
    each.status === 'rejected' ? [String(each.reason)] : [],
  )
  expect(refusals).toEqual([expect.stringContaining(`another backup is being written to ${path}`)])
  await won?.write('packs/x', new Uint8Array(1))
  await expect(DirectoryPlace.open(path)).rejects.toThrow('another backup is being written to')
  await won?.[Symbol.asyncDispose]()
  // What a crash left goes; what was written stays.
  await writeFile(join(path, '.incoming', '7'), 'draft')
  await using next = await DirectoryPlace.open(path)
  expect(await readdir(join(path, '.incoming'))).toEqual(['lock.db'])
  expect(await Array.fromAsync(next.list(''))).toEqual([{ key: 'packs/x', sizeBytes: 1 }])
})

test('of two that begin a backup in a bucket at once, with other keys, one is told that the key is wrong', async () => {
  const bucket = new MemoryBucket()
  const { signal } = new AbortController()
  const random = new SystemRandom()
  // Both have seen that nothing is there before one writes.
  const bothWrite = Promise.withResolvers<void>()
  let writeCount = 0
  bucket.onCall = async (call) => {
    if (call !== 'write') return
    writeCount += 1
    if (writeCount === 2) bothWrite.resolve()
    await bothWrite.promise
  }
  const begun = await Promise.allSettled(
    ['1a', '2b'].map((digits) => {
      const place = new BucketPlace(bucket, 'backup/', {
        pace: { count: 1 },
        signal,
        opened: new DisposableStack(),
      })
      return Backup.openOrCreate(place, { secret: parseKey(digits.repeat(32)), random })
    }),
  )
  expect(begun.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  const [refusal] = begun.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
  expect(String(refusal)).toMatch(/key/)
  expect(bucket.written).toHaveLength(1)
})
