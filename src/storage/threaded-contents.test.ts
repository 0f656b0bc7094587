import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectBytes, concatBytes } from '../base/bytes.ts'
import { openPackedStore, type OpenedPackedStore } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { Contents } from './contents.ts'
import { MemoryChunkStore } from './memory-chunks.ts'

const mib = 1024 * 1024

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve()
    yield bytes.subarray(at, at + size)
  }
}

describe('contents split in threads', () => {
  let parts: OpenedPackedStore
  let contents: Contents
  beforeAll(async () => {
    parts = await openPackedStore()
    contents = new ChunkedContents(parts.store)
  })
  afterAll(() => parts[Symbol.asyncDispose]())

  const samples: readonly (readonly [string, Uint8Array])[] = [
    ['zeros', new Uint8Array(13 * mib)],
    ['noise', seededBytes(1, 9 * mib + 7)],
    ['noise that fits one segment', seededBytes(2, 3 * mib)],
    ['just above the least split', seededBytes(3, 256 * 1024 + 1)],
    ['a whole number of segments', seededBytes(4, 8 * mib)],
    [
      'text and noise',
      concatBytes([
        Buffer.alloc(3 * mib, 'so it is '),
        seededBytes(5, 5 * mib),
        new Uint8Array(mib),
      ]),
    ],
  ]

  test.for(samples)(
    '%s: the same content as when split inline, and its bytes',
    async ([, bytes]) => {
      const inline = await new ChunkedContents(new MemoryChunkStore()).writeBytes(bytes)
      for (const size of [40_000, 5 * mib]) {
        const content = await contents.write(pieces(bytes, size))
        expect(content).toEqual(inline)
        await parts.store.flush()
        const read = await collectBytes(contents.read(content), 64 * mib)
        expect(Buffer.compare(read, bytes)).toBe(0)
      }
    },
  )

  test('many streams at once do not mix', async () => {
    const all = Array.from({ length: 9 }, (_, seed) => seededBytes(100 + seed, 6 * mib))
    const written = await Promise.all(
      all.map((bytes, at) => contents.write(pieces(bytes, 30_000 + at * 100_000))),
    )
    for (const [at, content] of written.entries()) {
      const read = await collectBytes(contents.read(content), 64 * mib)
      expect(Buffer.compare(read, all[at] ?? new Uint8Array(0))).toBe(0)
    }
  })

  test('a stream that fails fails the write and is closed, and the next one succeeds', async () => {
    let isClosed = false
    async function* failing(): AsyncGenerator<Uint8Array> {
      try {
        yield* pieces(seededBytes(50, 10 * mib), mib)
        throw new Error('the line was cut')
      } finally {
        isClosed = true
      }
    }
    await expect(contents.write(failing())).rejects.toThrow('the line was cut')
    expect(isClosed).toBe(true)
    const bytes = seededBytes(51, 5 * mib)
    const content = await contents.write(pieces(bytes, mib))
    expect(Buffer.compare(await collectBytes(contents.read(content), 64 * mib), bytes)).toBe(0)
  })

  test('a stream whose reader gives up is closed', async () => {
    let isClosed = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (let seed = 200; ; seed += 1) yield* pieces(seededBytes(seed, mib), mib)
      } finally {
        isClosed = true
      }
    }
    for await (const { sizeBytes } of parts.store.putStream(endless())) {
      expect(sizeBytes).toBeGreaterThan(0)
      break
    }
    expect(isClosed).toBe(true)
  })

  test('writing a content again stores nothing', async () => {
    const bytes = seededBytes(60, 12 * mib)
    const first = await contents.write(pieces(bytes, mib))
    await parts.store.flush()
    const before = await Array.fromAsync(parts.objects.list(''))
    expect(await contents.write(pieces(bytes, 70_000))).toEqual(first)
    await parts.store.flush()
    expect(await Array.fromAsync(parts.objects.list(''))).toEqual(before)
  })
})
