import { readdir, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CrashBucket } from '../../src/testing/crash-bucket.ts'
import {
  collectReferences,
  openCrashStoreOf,
  readReferences,
  runToStep,
} from '../../src/testing/pack-crash.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { peersRequired } from '../../src/testing/left-out.ts'
import { Radosgw } from '../harness/radosgw.ts'

/** Of an object store, on a busy machine. */
const startMsMax = 600_000
const crashMsMax = 600_000

function childOf(name: string): string {
  return fileURLToPath(new URL(`../../src/testing/${name}`, import.meta.url))
}

/** Those of a put that lead to the bucket; those before are the directory's, and tested there. */
const uploadSteps = ['upload: begun', 'upload: stored', 'upload: kept', 'upload: removed']

const collectionSteps = [
  'collect: copied',
  'collect: successor stored',
  'collect: taken off the list',
  'collect: object deleted',
  'collect: pack forgotten',
  ...uploadSteps,
]

/** Reads all that is referred to, with nothing kept near, and lets the uploads end. */
async function checkStore(bucket: CrashBucket, directory: string): Promise<number> {
  await rm(`${directory}/cache`, { recursive: true, force: true })
  await using opened = await openCrashStoreOf(bucket, directory)
  const { database, objects, staged } = opened
  const before = await readReferences(opened)
  await staged.uploaded()
  const left = await readdir(`${directory}/objects`, { recursive: true, withFileTypes: true })
  expect(left.filter((entry) => entry.isFile())).toEqual([])
  expect(await readdir(`${directory}/scratch`)).toEqual([])
  const listed = await database.read((tx) => tx.all('SELECT name FROM packs'))
  const stored = await Array.fromAsync(objects.list('packs/'))
  expect(stored).toHaveLength(listed.length)
  // From the bucket now, all of it.
  for (const { key } of stored) await objects.refresh(key)
  expect(await readReferences(opened)).toHaveLength(before.length)
  return before.length
}

describe.skipIf(!peersRequired && !Radosgw.isInstalled)('packs on their way to a bucket', () => {
  let gateway: Radosgw
  beforeAll(async () => {
    gateway = await Radosgw.start()
  }, startMsMax)
  afterAll(() => gateway[Symbol.asyncDispose]())

  function freshBucket(): CrashBucket {
    return { variables: gateway.variables, bucket: 'bucket', prefix: `${crypto.randomUUID()}/` }
  }

  test(
    'a process that is killed at any step of an upload loses nothing, and the next one ends it',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const bucket = freshBucket()
      let referenceCount = 0
      for (const count of ['1', '6']) {
        for (const step of uploadSteps) {
          await runToStep(childOf('pack-crash-child.ts'), directory.path, { step, count }, bucket)
          const before = referenceCount
          referenceCount = await checkStore(bucket, directory.path)
          expect(referenceCount).toBeGreaterThanOrEqual(before)
        }
      }
      expect(referenceCount).toBeGreaterThan(5)
    },
    crashMsMax,
  )

  test(
    'a collection that is killed at any step loses nothing, and the next one frees the rest',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const bucket = freshBucket()
      for (const step of collectionSteps) {
        const child = childOf('collection-crash-child.ts')
        await runToStep(child, directory.path, { step, count: '1' }, bucket)
        const count = await checkStore(bucket, directory.path)
        expect(count).toBeGreaterThan(0)
        await using opened = await openCrashStoreOf(bucket, directory.path)
        const { database, objects, staged } = opened
        expect(await database.read((tx) => tx.all('SELECT name FROM retired_packs'))).toEqual([])
        const { chunksMarked, bytesAfter } = await collectReferences(opened)
        expect(chunksMarked).toBe(count)
        await staged.uploaded()
        const stored = await Array.fromAsync(objects.list(''))
        expect(stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe(bytesAfter)
        await readReferences(opened)
      }
    },
    crashMsMax,
  )
})
