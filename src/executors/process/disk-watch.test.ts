import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import type { SlotBoundError } from '../../pipelines/executor.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { isTested } from '../../testing/left-out.ts'
import type { DiskSums } from './disk-sums.ts'
import { DiskWatch } from './disk-watch.ts'

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

/** What directories hold, by their names; of those it does not know it never hears. */
class HangingSums implements DiskSums {
  readonly answers: Map<string, number> = new Map()
  readonly asked: string[] = []
  readonly #waiting: (() => void)[] = []

  async bytesIn([name = '']: readonly string[]): Promise<number> {
    this.asked.push(name)
    for (;;) {
      const bytes = this.answers.get(name)
      if (bytes !== undefined) return bytes
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  async filesIn(): Promise<number> {
    return 0
  }

  answer(name: string, bytes: number): void {
    this.answers.set(name, bytes)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  [Symbol.dispose](): void {
    this.answer('hung', 0)
  }
}

test('a datum whose disk does not answer is passed over, and the others are watched', async () => {
  const held = new HeldClock()
  const sums = new HangingSums()
  const bounds = { datumBytesMax: 8 * mebibyte, reservedBytes: 0 }
  await using watch = new DiskWatch(home, bounds, held, sums)
  const ended: string[] = []
  const begin = (name: string): void => {
    watch.watch({ directories: [name], end: () => ended.push(name) })
  }
  const asleep = (): Promise<void> => expect.poll(() => held.sleeperCount).toBe(1)
  sums.answer('large', 16 * mebibyte)
  begin('hung')
  begin('large')
  await asleep()
  held.advance(1000)
  await expect.poll(() => sums.asked).toEqual(['hung', 'large'])
  expect(ended, 'the first may only be slow').toEqual([])
  await asleep()
  held.advance(2000)
  await expect.poll(() => ended).toEqual(['large'])
  sums.answer('later', 16 * mebibyte)
  begin('later')
  await asleep()
  held.advance(1000)
  // Without more time.
  await expect.poll(() => ended).toEqual(['large', 'later'])
  expect(sums.asked).toEqual(['hung', 'large', 'later'])
  sums.answer('hung', 9 * mebibyte)
  await asleep()
  held.advance(1000)
  await expect.poll(() => ended).toEqual(['large', 'later', 'hung'])
})

test('a watch ends though a disk does not answer', async () => {
  const held = new HeldClock()
  const sums = new HangingSums()
  const watch = new DiskWatch(home, { datumBytesMax: 1, reservedBytes: 0 }, held, sums)
  watch.watch({ directories: ['hung'], end: () => expect.fail('nothing is known of it') })
  await expect.poll(() => held.sleeperCount).toBe(1)
  held.advance(1000)
  await expect.poll(() => sums.asked).toEqual(['hung'])
  const closed = watch[Symbol.asyncDispose]()
  held.advance(2000)
  await closed
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
