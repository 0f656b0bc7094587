import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { NotFoundError, PermissionDeniedError, UnavailableError } from '../base/errors.ts'
import { MemoryBucket } from '../testing/memory-bucket.ts'
import { requireNoPacks } from './backup-places.ts'

const { signal } = new AbortController()

test.each([
  ['.owner', '', true],
  ['.owner', 'backups/pachd/', true],
  ['a/.owner', 'a/', true],
  ['a/.owner', 'a/b/c/', true],
  ['a/b/.owner', 'a/b/c/', true],
  ['a/.owner', '', false],
  ['a/.owner', 'b/', false],
  ['a/.owner', 'a2/', false],
])('with %s in a bucket, a backup at %j is refused: %s', async (owner, prefix, isRefused) => {
  const bucket = new MemoryBucket()
  bucket.objects.set(owner, { bytes: utf8('somebody') })
  const asked = requireNoPacks(bucket, prefix, signal).then(
    () => 'fine',
    (error: unknown) => String(error),
  )
  expect(await asked).toMatch(
    isRefused
      ? /among the packs of a pachd, as s3:\/\/memory\/.*\.owner says.*\(pachd --leave-bucket\).*remove \S*\.owner first$/
      : /^fine$/,
  )
})

test('where nobody may look, a backup may be made; an answer that fails is no answer', async () => {
  const bucket = new MemoryBucket()
  for (const error of [new PermissionDeniedError('no'), new NotFoundError('no such bucket')]) {
    bucket.onCall = () => {
      throw error
    }
    await requireNoPacks(bucket, 'a/', signal)
  }
  bucket.onCall = () => {
    throw new UnavailableError('later')
  }
  await expect(requireNoPacks(bucket, 'a/', signal)).rejects.toThrow('later')
})
