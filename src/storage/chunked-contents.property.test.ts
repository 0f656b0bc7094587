import { array, assert, asyncProperty, constantFrom, integer, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { collectBytes, concatBytes, hexText } from '../base/bytes.ts'
import { noise, referenceCuts } from '../testing/reference-splitter.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { ChunkStore } from './chunks.ts'
import type { Content } from './contents.ts'
import { chunkIdOf } from './chunk-id.ts'
import { readList } from './chunk-lists/list-reader.ts'
import { MemoryChunkStore } from './memory-chunks.ts'

const kib = 1024
const mib = 1024 * kib

/** Runs of random or repeated bytes: repeated ones never cut, or cut at once. */
const run = record({
  kind: constantFrom('random', 'zeros', 'pattern'),
  seed: integer({ min: 1, max: 5 }),
  size: constantFrom(0, 1, 64, 65, 1000, 200 * kib, 256 * kib, 300 * kib, 1500 * kib, 5 * mib),
})
const runs = array(run, { minLength: 1, maxLength: 4 })

function bytesOf(parts: readonly { kind: string; seed: number; size: number }[]): Uint8Array {
  return concatBytes(
    parts.map(({ kind, seed, size }) => {
      if (kind === 'random') return seededBytes(seed, size)
      if (kind === 'zeros') return new Uint8Array(size)
      return new Uint8Array(size).map((_, at) => at % (seed * 7))
    }),
  )
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  // One buffer for all pieces, as a careless source would have.
  const buffer = new Uint8Array(size)
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve()
    const piece = bytes.subarray(at, at + size)
    buffer.set(piece)
    yield buffer.subarray(0, piece.length)
  }
}

async function endsOf(chunks: MemoryChunkStore, content: Content): Promise<readonly number[]> {
  if (content.kind !== 'list') return [content.kind === 'chunk' ? content.sizeBytes : 0]
  const ends: number[] = []
  const root = { id: content.root, sizeBytes: content.sizeBytes }
  for await (const chunk of readList(chunks, root)) ends.push(chunk.start + chunk.sizeBytes)
  return ends
}

describe('chunked contents', () => {
  test('the bytes come back, the kind follows from the size, and the cuts are those of the rule', async () => {
    await assert(
      asyncProperty(runs, constantFrom(1000, 70_001, 3 * mib), async (parts, pieceSize) => {
        const chunks = new MemoryChunkStore()
        const contents = new ChunkedContents(chunks)
        const bytes = bytesOf(parts)
        const content = await contents.write(pieces(bytes, pieceSize))
        expect(Buffer.compare(await collectBytes(contents.read(content), 64 * mib), bytes)).toBe(0)
        expect(await contents.writeBytes(bytes)).toEqual(content)
        const cuts = bytes.length <= 64 ? [0] : referenceCuts(bytes)
        expect(await endsOf(chunks, content)).toEqual(cuts)
        expect(content.kind).toBe(
          bytes.length <= 64 ? 'inline' : cuts.length > 1 ? 'list' : 'chunk',
        )
      }),
      { numRuns: 25 },
    )
  })

  test('appending makes the same content as writing the whole', async () => {
    await assert(
      asyncProperty(array(runs, { minLength: 2, maxLength: 4 }), async (parts) => {
        const contents = new ChunkedContents(new MemoryChunkStore())
        const wholes = parts.map(bytesOf)
        let appended: Content = { kind: 'inline', bytes: new Uint8Array(0) }
        for (const bytes of wholes) {
          appended = await contents.append(appended, await contents.writeBytes(bytes))
        }
        const whole = await contents.writeBytes(concatBytes(wholes))
        expect(appended).toEqual(whole)
        expect(hexText(contents.hash(appended))).toBe(hexText(contents.hash(whole)))
      }),
      { numRuns: 25 },
    )
  })

  test('an append reads the end of the head and the start of the tail only', async () => {
    const chunks = new MemoryChunkStore()
    const contents = new ChunkedContents(chunks)
    const head = await contents.writeBytes(seededBytes(1, 30 * mib))
    const tail = await contents.writeBytes(seededBytes(2, 30 * mib))
    let readCount = 0
    const counting: ChunkStore = {
      get: (id) => {
        readCount += 1
        return chunks.get(id)
      },
      put: (bytes) => chunks.put(bytes),
      flush: () => chunks.flush(),
    }
    const before = chunks.count
    await new ChunkedContents(counting).append(head, tail)
    expect(before).toBeGreaterThan(50)
    expect(readCount).toBeLessThan(10)
    expect(chunks.count - before).toBeLessThan(10)
  })

  test('a range holds exactly the bytes that it names', async () => {
    const contents = new ChunkedContents(new MemoryChunkStore())
    for (const size of [10, 1000, 6 * mib]) {
      const bytes = seededBytes(3, size)
      const content = await contents.writeBytes(bytes)
      await assert(
        asyncProperty(
          integer({ min: 0, max: size + 5 }),
          integer({ min: 0, max: size }),
          async (offset, length) => {
            const read = await collectBytes(contents.read(content, { offset, length }), 64 * mib)
            expect(Buffer.compare(read, bytes.subarray(offset, offset + length))).toBe(0)
          },
        ),
        { numRuns: 30 },
      )
    }
  })

  test('contents that fit in one chunk hash to the SHA-256 of their bytes, lists to something else', async () => {
    const chunks = new MemoryChunkStore()
    const contents = new ChunkedContents(chunks)
    for (const size of [0, 64, 65, 100_000]) {
      const bytes = seededBytes(1, size)
      const content = await contents.writeBytes(bytes)
      expect(hexText(contents.hash(content))).toBe(chunkIdOf(bytes))
    }
    const list = await contents.writeBytes(new Uint8Array(9 * mib))
    if (list.kind !== 'list') throw new Error('nine MiB are a list')
    // The node's own bytes, stored as a file, are a single chunk of the same id.
    const twin = await contents.writeBytes(await chunks.get(list.root))
    expect(twin).toMatchObject({ kind: 'chunk', chunk: list.root })
    expect(hexText(contents.hash(twin))).not.toBe(hexText(contents.hash(list)))
  })

  // The vectors of docs/formats/contents.md.
  test('lists have the roots and hashes of the test vectors', async () => {
    const contents = new ChunkedContents(new MemoryChunkStore())
    const vectors = [
      [
        noise(8 * mib),
        'cb2b7df32b9b5b5595609dfa36813bba09eacba2b7e6d77d841c3c73757ca7b9',
        '4181ae202e1877e7ce17d53099301c2b7dc89697f14a618aec6c64a91671d718',
      ],
      [
        new Uint8Array(9 * mib),
        '95903abda7f96029cc510ba14456615d72f3cde9e306c1681c9deb97d7081bbd',
        '84524052367aeaa70c1cff0174c50e2e92253d6e9198640a260765d0995fe851',
      ],
    ] as const
    for (const [bytes, root, hash] of vectors) {
      const content = await contents.writeBytes(bytes)
      expect(content).toEqual({ kind: 'list', root, sizeBytes: bytes.length })
      expect(hexText(contents.hash(content))).toBe(hash)
    }
  })
})
