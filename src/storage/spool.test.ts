import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { concatBytes } from '../base/bytes.ts'
import { NotFoundError } from '../base/errors.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { FileSpools } from './spool.ts'

const kib = 1024

test.each([0, 100, 1024 * kib, 1024 * kib + 1, 5000 * kib])(
  'what is written to a spool, %d bytes of it, is read from any place',
  async (size) => {
    await using directory = await TemporaryDirectory.create()
    const spools = new FileSpools(directory.path)
    await using spool = spools.open()
    await using other = spools.open()
    const bytes = seededBytes(size, size)
    const buffer = new Uint8Array(70_000)
    for (let at = 0; at < size; at += buffer.length) {
      const slice = bytes.subarray(at, at + buffer.length)
      buffer.set(slice)
      await spool.write(buffer.subarray(0, slice.length))
      await other.write(seededBytes(at, 10))
      buffer.fill(0)
    }
    expect(spool.sizeBytes).toBe(size)
    for (const [start, end] of [
      [0, size],
      [Math.floor(size / 3), size],
      [Math.floor(size / 3), Math.floor(size / 2)],
      [size, size],
    ] as const) {
      const read = concatBytes(await Array.fromAsync(spool.read(start, end)))
      expect(Buffer.compare(read, bytes.subarray(start, end))).toBe(0)
    }
    // Nothing that a crash could leave has a name.
    expect(await readdir(directory.path)).toEqual([])
  },
)

test('a spool that cannot be made says where', async () => {
  await using directory = await TemporaryDirectory.create()
  await using spool = new FileSpools(directory.join('gone')).open()
  await spool.write(new Uint8Array(1024 * kib))
  const more = spool.write(new Uint8Array(1))
  await expect(more).rejects.toThrow(NotFoundError)
  await expect(more).rejects.toThrow(directory.join('gone'))
})
