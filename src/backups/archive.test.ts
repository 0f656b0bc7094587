import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seededBytes } from '../testing/seeded-random.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { ArchivePlace, ArchiveWriter } from './archive.ts'
import { DirectoryPlace } from './object-store-place.ts'

let directory: TemporaryDirectory
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
})
afterEach(async () => {
  await directory[Symbol.asyncDispose]()
})

const objects: Readonly<Record<string, Uint8Array>> = {
  backup: Buffer.from('what it is\n'),
  [`packs/ab/${'ab'.repeat(32)}`]: seededBytes(1, 70_000),
  [`snapshots/20261126T103000.123456Z-${'cd'.repeat(32)}`]: seededBytes(2, 512),
}

async function written(): Promise<string> {
  const slices: Uint8Array[] = []
  const place = new ArchiveWriter('test', async (bytes) => void slices.push(bytes), 1)
  // At once, as a backup writes them.
  await Promise.all(Object.entries(objects).map(([key, bytes]) => place.write(key, bytes)))
  await place.end()
  const path = directory.join('a.tar')
  await writeFile(path, Buffer.concat(slices))
  return path
}

async function read(path: string): Promise<Readonly<Record<string, Uint8Array>>> {
  await using place = await ArchivePlace.open(path)
  const found: Record<string, Uint8Array> = {}
  for await (const { key, sizeBytes } of place.list('')) {
    found[key] = new Uint8Array(await place.read(key))
    expect(found[key]?.length).toBe(sizeBytes)
  }
  return found
}

const plain = Object.fromEntries(
  Object.entries(objects).map(([key, bytes]) => [key, new Uint8Array(bytes)]),
)

test('what is written is read, by us and by tar, and back from what tar made of a directory', async () => {
  const path = await written()
  expect(await read(path)).toEqual(plain)
  const run = promisify(execFile)
  await run('tar', ['-xf', path, '-C', directory.path])
  await using place = DirectoryPlace.openForReading(directory.path)
  for (const [key, bytes] of Object.entries(plain)) {
    expect(new Uint8Array(await place.read(key))).toEqual(bytes)
  }
  const again = directory.join('b.tar')
  await run('tar', ['-cf', again, '-C', directory.path, './backup', './packs', './snapshots'])
  expect(await read(again)).toEqual(plain)
})

test('an archive that was cut short anywhere, or whose headers have changed, is refused', async () => {
  const path = await written()
  const bytes = await readFile(path)
  for (const size of [0, 511, 512, 1000, 1024, 40_000, bytes.length - 1024]) {
    await writeFile(path, bytes.subarray(0, size))
    await expect(ArchivePlace.open(path), `${size} bytes`).rejects.toThrow(/cut short/)
  }
  // The name, the size, the sum and the type of the second entry.
  for (const at of [1024 + 3, 1024 + 130, 1024 + 150, 1024 + 156]) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    await writeFile(path, changed)
    await expect(ArchivePlace.open(path), `byte ${at}`).rejects.toThrow(/damaged/)
  }
})
