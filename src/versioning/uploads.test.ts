import { expect, test } from 'vitest'
import { type ByteStream, hexText, utf8 } from '../base/bytes.ts'
import { parseFilePath } from '../base/paths.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { openTestVersioning } from '../testing/test-versioning.ts'
import { BranchNotFoundError } from './errors.ts'
import { sweepUploads, uploadDaysMax, UploadNotFoundError } from './uploads.ts'

const path = parseFilePath('d/f')
const place = { repo: 'r', branch: 'master', path }

async function* of(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  yield bytes
}

function all<Part>(parts: ReadonlyMap<number, Part>): readonly Part[] {
  return [...parts.values()]
}

test('parts are joined in their order, whatever their sizes, and the upload ends', async () => {
  await using world = await openTestVersioning()
  const { uploads, headWrites, files } = world.versioning
  await headWrites.makeBranch('r', 'master')
  const upload = await uploads.begin(place)
  const sizes = [300_000, 0, 10, 64, 65, 5_000_000, 1]
  const parts = sizes.map((size, index) => seededBytes(index, size))
  for (const [index, bytes] of parts.entries()) await uploads.put(upload, index + 1, of(bytes))
  await uploads.put(upload, 7, of(utf8('replaced')))
  const whole = Buffer.concat([...parts.slice(0, 6), utf8('replaced')])
  const put = await uploads.complete(upload, { pick: all })
  expect(put.sizeBytes).toBe(whole.length)
  const { info, bytes } = await files.read({ repo: 'r', commit: 'master', path })
  expect(Buffer.compare(await collect(bytes), whole)).toBe(0)
  // The content is what it would be had it come in one piece.
  const same = { repo: 'r', branch: 'master', path: parseFilePath('same') }
  expect((await headWrites.put(same, of(whole))).hash).toEqual(info.hash)
  await expect(uploads.inspect(upload)).rejects.toThrow(UploadNotFoundError)
  await expect(uploads.put(upload, 1, of(whole))).rejects.toThrow(UploadNotFoundError)
})

async function collect(bytes: ByteStream): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(bytes))
}

async function refuse(): Promise<void> {
  await Promise.resolve()
  throw new RangeError('other bytes')
}

test('what cannot be put leaves the upload as it is', async () => {
  await using world = await openTestVersioning()
  const { uploads, headWrites } = world.versioning
  await headWrites.makeBranch('r', 'master')
  const upload = await uploads.begin({ ...place, branch: 'none' })
  await uploads.put(upload, 1, of(utf8('x')))
  await expect(uploads.complete(upload, { pick: all })).rejects.toThrow(BranchNotFoundError)
  await expect(uploads.complete(upload, { pick: all, check: refuse })).rejects.toThrow(RangeError)
  expect(await uploads.parts(upload, { after: 0, countMax: 10 })).toHaveLength(1)
  expect(await uploads.list('r', 'none')).toEqual([upload])
  expect(await uploads.list('r', 'master')).toEqual([])
})

test('parts are not collected, until the upload is forgotten a week after the last came', async () => {
  const clock = new HeldClock()
  await using world = await openTestVersioning(new MemoryChunkStore(), clock)
  const { versioning, database } = world
  const { uploads } = versioning
  const upload = await uploads.begin(place)
  await uploads.put(upload, 1, of(seededBytes(1, 1000)))
  expect(await Array.fromAsync(versioning.collectionRoots())).toMatchObject([{ kind: 'content' }])
  const stop = new AbortController()
  const swept = sweepUploads({ clock, database }, stop.signal)
  swept.catch(() => undefined)
  const asleep = async (): Promise<void> => {
    // Who has been woken has to go on, to the database and back to sleep.
    for (let turn = 0; turn < 20 || clock.sleeperCount === 0; turn += 1) {
      await database.read((tx) => tx.get('SELECT 1 AS one'))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await asleep()
  clock.advance((uploadDaysMax * 24 - 2) * 3600 * 1000)
  await uploads.put(upload, 2, of(seededBytes(2, 1000)))
  await asleep()
  clock.advance(4 * 3600 * 1000)
  await asleep()
  expect(await uploads.parts(upload, { after: 0, countMax: 10 })).toHaveLength(2)
  clock.advance(uploadDaysMax * 24 * 3600 * 1000)
  await expect.poll(() => Array.fromAsync(versioning.collectionRoots())).toEqual([])
  expect(await uploads.list('r', 'master')).toEqual([])
  stop.abort()
})

test('what an upload became is told again for an hour, and forgotten then', async () => {
  const clock = new HeldClock()
  await using world = await openTestVersioning(new MemoryChunkStore(), clock)
  const { versioning, database } = world
  const { uploads, headWrites } = versioning
  await headWrites.makeBranch('r', 'master')
  const upload = await uploads.begin(place)
  await uploads.put(upload, 1, of(utf8('x')))
  const put = await uploads.complete(upload, { pick: all })
  const stop = new AbortController()
  const swept = sweepUploads({ clock, database }, stop.signal)
  swept.catch(() => undefined)
  await expect.poll(() => clock.sleeperCount).toBe(1)
  const { hash, ...told } = await uploads.complete(upload, { pick: all })
  expect({ ...told, hash: hexText(hash) }).toEqual({ ...put, hash: hexText(put.hash) })
  clock.advance(2 * 3600 * 1000)
  await expect
    .poll(() => uploads.complete(upload, { pick: all }).catch((error: unknown) => error))
    .toBeInstanceOf(UploadNotFoundError)
  stop.abort()
})
