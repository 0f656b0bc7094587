import { expect, test } from 'vitest'
import { DiskFullError, UnavailableError } from '../../base/errors.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { translateFailure } from './failure.ts'

function failureOf(errcode: number): Error {
  return Object.assign(new Error('disk I/O error'), { errcode })
}

// SQLITE_IOERR_SHMSIZE, and SQLITE_CANTOPEN.
test.each([4874, 14])('failure %i is that of a full disk where there is no room', async (code) => {
  // A file system that never has any.
  const full = translateFailure(failureOf(code), '/proc/metadata.db')
  expect(full).toBeInstanceOf(DiskFullError)
  expect(full.message).toContain('the disk of the data directory is full (at /proc): free some')
  await using roomy = await TemporaryDirectory.create()
  const other = translateFailure(failureOf(code), roomy.join('metadata.db'))
  expect(other).toBeInstanceOf(UnavailableError)
  const lost = translateFailure(failureOf(code), roomy.join('nowhere', 'metadata.db'))
  expect(lost).toBeInstanceOf(UnavailableError)
})
