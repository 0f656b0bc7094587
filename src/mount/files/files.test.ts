import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { ByteStream } from '../../base/bytes.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { DirectoryListing, type ListedEntry } from './directory-listing.ts'
import { FileReader } from './file-reader.ts'
import { FileWriter, type Put } from './file-writer.ts'
import { SegmentBudget, segmentAt } from './segments.ts'

const text = async (bytes: ByteStream): Promise<string> => {
  let read = ''
  for await (const slice of bytes) read += Buffer.from(slice).toString()
  return read
}

interface Stored {
  content: string
  readonly puts: string[]
  readonly put: Put
}

function store(content = ''): Stored {
  const puts: string[] = []
  const stored: Stored = {
    content,
    puts,
    put: async (bytes, { overwrite }) => {
      const read = await text(bytes)
      puts.push(overwrite ? `=${read}` : `+${read}`)
      stored.content = overwrite ? read : stored.content + read
    },
  }
  return stored
}

test('what is written in order arrives with each flush, and the rest is refused', async () => {
  const stored = store('old')
  const writer = new FileWriter(stored.put, new HeldClock(), 3)
  await writer.flush()
  await writer.write(3, Buffer.from('a'))
  await writer.write(4, Buffer.from('b'))
  await writer.flush()
  await writer.flush()
  await expect(writer.write(0, Buffer.from('x'))).rejects.toMatchObject({ errno: 'EOPNOTSUPP' })
  await writer.write(5, Buffer.from('c'))
  await writer.flush()
  expect(stored.puts).toEqual(['+ab', '+c'])
  writer.truncate()
  expect(writer.sizeBytes).toBe(0)
  await writer.flush()
  expect(stored.puts.at(-1)).toBe('=')
})

test('a new file is there when it is closed, also an empty one; a deleted one is not', async () => {
  const stored = store()
  await new FileWriter(stored.put, new HeldClock(), undefined).flush()
  expect(stored.puts).toEqual(['='])
  const deleted = new FileWriter(stored.put, new HeldClock(), undefined)
  await deleted.write(0, Buffer.from('x'))
  deleted.discard()
  await deleted.flush()
  expect(stored.puts).toEqual(['='])
})

const failingPut: Put = async () => Promise.reject(new Error('disk on fire'))

const stalledPut: Put = async (_bytes, { signal }) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('cancelled')))
  })

test('a put that fails is told at each flush, and to who writes on', async () => {
  const writer = new FileWriter(failingPut, new HeldClock(), undefined)
  await writer.write(0, Buffer.from('x'))
  for (let count = 0; count < 2; count += 1) await expect(writer.flush()).rejects.toThrow('fire')
  await expect(writer.write(1, Buffer.from('y'))).rejects.toThrow('fire')
})

test('a writer waits for a slow server, and gives one up that takes nothing', async () => {
  const clock = new HeldClock()
  const writer = new FileWriter(stalledPut, clock, undefined)
  let size = 0
  const writing = (async (): Promise<void> => {
    for (; size < 20_000_000; size += 1_000_000) await writer.write(size, new Uint8Array(1_000_000))
  })()
  writing.catch(() => undefined)
  while (clock.sleeperCount === 0) await setImmediate()
  expect(size).toBeLessThan(6_000_000)
  clock.advance(120_000)
  await expect(writing).rejects.toMatchObject({ errno: 'ETIMEDOUT' })
  await expect(writer.flush()).rejects.toMatchObject({ errno: 'ETIMEDOUT' })
})

test('pieces of a file join without gaps', () => {
  let at = 0
  for (let count = 0; count < 20; count += 1) {
    const { start, size } = segmentAt(at)
    expect([start, segmentAt(at + size - 1).start]).toEqual([at, at])
    at += size
  }
  expect(at).toBeGreaterThan(40_000_000)
})

test('a reader gives the bytes of any range, fetches in order no byte twice, and ahead only then', async () => {
  const bytes = seededBytes(5, 20_000_000)
  const fetched: [number, number][] = []
  async function* read(offset: number, size: number): AsyncGenerator<Uint8Array> {
    fetched.push([offset, size])
    await setImmediate()
    for (let at = offset; at < offset + size; at += 100_000) {
      yield bytes.subarray(at, Math.min(at + 100_000, offset + size))
    }
  }
  const expectRead = async (reader: FileReader, offset: number, size: number): Promise<void> => {
    const parts = await reader.read(offset, size, bytes.length)
    const joined = Buffer.concat(parts)
    expect(joined.equals(bytes.subarray(offset, offset + size))).toBe(true)
  }
  const budget = new SegmentBudget()
  const inOrder = new FileReader(read, budget)
  for (let at = 0; at < bytes.length; at += 131_072) await expectRead(inOrder, at, 131_072)
  expect(fetched.reduce((sum, [, size]) => sum + size, 0)).toBe(bytes.length)
  fetched.length = 0
  const anywhere = new FileReader(read, budget)
  for (const at of [19_000_000, 9_000_000, 15_000_000]) await expectRead(anywhere, at, 1000)
  expect(fetched).toEqual([
    [19_000_000, 1000],
    [9_000_000, 1000],
    [15_000_000, 1000],
  ])
  expect(await anywhere.read(bytes.length, 10, bytes.length)).toEqual([])
})

test('a piece that could not be fetched is fetched again', async () => {
  let count = 0
  async function* read(): AsyncGenerator<Uint8Array> {
    count += 1
    if (count === 1) throw new Error('lost')
    yield Buffer.from('abc')
  }
  const reader = new FileReader(read, new SegmentBudget())
  await expect(reader.read(0, 3, 3)).rejects.toThrow('lost')
  expect(Buffer.concat(await reader.read(0, 3, 3)).toString()).toBe('abc')
})

function numbered(count: number, opened: { count: number }) {
  return async function* (): AsyncGenerator<ListedEntry<number>> {
    opened.count += 1
    for (let at = 0; at < count; at += 1) {
      if (at % 1000 === 0) await setImmediate()
      yield { name: String(at), facts: at }
    }
  }
}

/** As the kernel does: some at a time. */
async function readAll(listing: DirectoryListing<number>): Promise<readonly number[]> {
  const read: number[] = []
  for (;;) {
    if (read.length % 25 === 0) listing.readTo(read.length)
    const entry = await listing.at(read.length)
    if (entry === undefined) return read
    read.push(entry.facts)
  }
}

test('a list is read in order, and again from the start', async () => {
  const opened = { count: 0 }
  const listing = new DirectoryListing(numbered(50_000, opened), new HeldClock())
  expect(await readAll(listing)).toEqual(Array.from({ length: 50_000 }, (_, at) => at))
  expect(await listing.at(50_000)).toBeUndefined()
  expect(opened.count).toBe(1)
  expect((await listing.at(0))?.facts).toBe(0)
  expect(opened.count).toBe(2)
})

test('a list that nobody reads on is broken off, and goes on where it was', async () => {
  const clock = new HeldClock()
  const opened = { count: 0 }
  const listing = new DirectoryListing(numbered(50_000, opened), clock)
  await listing.at(0)
  while (clock.sleeperCount === 0) await setImmediate()
  clock.advance(2000)
  for (let turn = 0; turn < 10; turn += 1) await setImmediate()
  expect(await readAll(listing)).toEqual(Array.from({ length: 50_000 }, (_, at) => at))
  expect(opened.count).toBeGreaterThan(1)
})
