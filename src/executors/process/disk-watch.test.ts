import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import type { SlotBoundError } from '../../pipelines/executor.ts'
import { DiskWatch } from './disk-watch.ts'
import { isTested } from '../../testing/left-out.ts'

const execute = promisify(execFile)
const mebibyte = 1024 * 1024
const clock = new SystemClock()

const canMount = process.geteuid?.() === 0

let home = ''

beforeEach(() => {
  // In memory: nobody else makes it full meanwhile.
  home = mkdtempSync('/dev/shm/pachyderm-disk-')
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(home)
  return bavail * bsize
}

/** A datum that writes so much at once; its end, when it comes. */
function run(watch: DiskWatch, name: string): { readonly ended: Promise<SlotBoundError> } {
  const directory = join(home, name)
  mkdirSync(directory)
  return {
    ended: new Promise((resolve) => {
      watch.watch({ directories: [directory], end: resolve })
    }),
  }
}

test('the datum that fills the disk is ended, and no other', async () => {
  const bounds = {
    datumBytesMax: Number.POSITIVE_INFINITY,
    reservedBytes: freeBytes() - 32 * mebibyte,
  }
  await using watch = new DiskWatch(home, bounds, clock)
  const small = run(watch, 'small')
  const large = run(watch, 'large')
  writeFileSync(join(home, 'small/f'), Buffer.alloc(4 * mebibyte))
  writeFileSync(join(home, 'large/f'), Buffer.alloc(64 * mebibyte))
  const first = await Promise.race([
    small.ended.then(() => 'the other'),
    large.ended.then((error) => error.message),
  ])
  expect(first).toMatch(
    /^user code was ended: it had 64MiB on disk, .* and the server's disk has only [\d.]+[KMGT]iB left$/,
  )
})

test('a datum that has more than its bound is ended, and one that is watched no more is not', async () => {
  await using watch = new DiskWatch(home, { datumBytesMax: 8 * mebibyte, reservedBytes: 0 }, clock)
  mkdirSync(join(home, 'over'))
  writeFileSync(join(home, 'over/f'), Buffer.alloc(16 * mebibyte))
  const wasEnded: string[] = []
  const over = watch.watch({
    directories: [join(home, 'over')],
    end: () => wasEnded.push('over'),
  })
  over[Symbol.dispose]()
  const large = run(watch, 'large')
  writeFileSync(join(home, 'large/f'), Buffer.alloc(16 * mebibyte))
  const { message } = await large.ended
  expect(message).toMatch(/it had 16MiB on disk, .* and its bound is 8MiB$/)
  expect(wasEnded).toEqual([])
})

test('a datum is ended though nothing could be said of the disk, or of another datum', async () => {
  const later = join(home, 'later')
  await using watch = new DiskWatch(later, { datumBytesMax: 8 * mebibyte, reservedBytes: 0 }, clock)
  mkdirSync(later)
  watch.watch({
    directories: [],
    otherBytes: () => Promise.reject(new Error('gone')),
    end: () => expect.fail('it has nothing'),
  })
  const large = run(watch, 'large')
  rmSync(later, { recursive: true })
  writeFileSync(join(home, 'large/f'), Buffer.alloc(16 * mebibyte))
  await clock.sleep(300)
  mkdirSync(later)
  expect((await large.ended).message).toMatch(/and its bound is 8MiB$/)
})

test.runIf(isTested(canMount))(
  'the datum that takes the last files of a file system is ended',
  async () => {
    const small = join(home, 'small-disk')
    mkdirSync(small)
    await execute('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=3000', 'none', small])
    try {
      const bounds = { datumBytesMax: Number.POSITIVE_INFINITY, reservedBytes: 0 }
      await using watch = new DiskWatch(small, bounds, clock)
      const other = run(watch, 'small-disk/other')
      const many = run(watch, 'small-disk/many')
      for (let index = 0; index < 200; index += 1)
        writeFileSync(join(small, 'other', `${index}`), '')
      for (let index = 0; index < 2700; index += 1)
        writeFileSync(join(small, 'many', `${index}`), '')
      const first = await Promise.race([
        other.ended.then(() => 'the other'),
        many.ended.then((error) => error.message),
      ])
      expect(first).toMatch(
        /^user code was ended: it had 2701 files, in .* and the file system of the server's disk can hold only \d+ more, however small$/,
      )
    } finally {
      await execute('umount', ['-l', small])
    }
  },
)
