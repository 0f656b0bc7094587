import { expect, test } from 'vitest'
import { type Clock, SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { type Content, contentSizeBytes } from '../storage/contents.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { type ChunkOrigin, OfferedContents } from '../storage/offered-contents.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import type { KeptTransfer } from '../versioning/kept-transfers.ts'
import { fetchContent } from './fetched-content.ts'
import { offeredFile } from './pfs/pfs-source.ts'
import { SourceBrokeError, type SourceFile } from './source.ts'

const { signal } = new AbortController()
const mib = 1024 * 1024

/** What is kept, in memory. */
class Kept {
  readonly contents = new Map<string, Content>()
  /** The sizes of all that was kept, in order. */
  readonly sizes: number[] = []
  savedCount = 0
  readonly hasEarlier = false

  async find(name: string): Promise<Content | undefined> {
    return this.contents.get(name)
  }

  keep(name: string, content: Content): void {
    this.contents.set(name, content)
    this.sizes.push(contentSizeBytes(content))
  }

  async saveWhenDue(): Promise<void> {
    this.savedCount += 1
  }
}

function open(file: SourceFile, clock: Clock = new SystemClock()) {
  const chunks = new MemoryChunkStore()
  const contents = new ChunkedContents(chunks)
  const kept = new Kept()
  const patience = { stallMs: 60_000, attemptsMax: 1, pauseMs: 1 }
  const ports = {
    patience: { clock, random: new SystemRandom(), patience },
    contents,
    kept: kept as unknown as KeptTransfer,
  }
  const fetch = { file, id: 'x', name: 'a file', signal, smallBytesMax: 0 }
  const told = { onBytes: () => undefined, onKept: () => undefined }
  return { chunks, contents, kept, run: () => fetchContent(ports, { ...fetch, ...told }) }
}

test('of a long file, what has come is kept while the rest comes, and makes what its bytes make', async () => {
  const bytes = Buffer.alloc(150 * mib, seededBytes(1, mib))
  const file: SourceFile = {
    path: '',
    sizeBytes: bytes.length,
    version: '1',
    async *open() {
      for (let at = 0; at < bytes.length; at += mib) yield bytes.subarray(at, at + mib)
    },
  }
  const { contents, kept, run } = open(file)
  const content = await run()
  expect(content).toEqual(await contents.writeBytes(bytes))
  expect(kept.savedCount).toBe(2)
  const [first = 0, second = 0, whole] = kept.sizes
  expect(first).toBeGreaterThanOrEqual(64 * mib)
  expect(second).toBeGreaterThanOrEqual(128 * mib)
  expect(whole).toBe(bytes.length)
  const part = [...kept.contents.values()].find((held) => contentSizeBytes(held) === second)
  expect(part).toEqual(await contents.writeBytes(bytes.subarray(0, second)))
})

test('nothing is put or kept of an origin whose bytes are not what it calls them', async () => {
  const there = new MemoryChunkStore()
  const content = await new ChunkedContents(there).writeBytes(seededBytes(2, 3 * mib))
  expect(content.kind).toBe('list')
  const origin: ChunkOrigin = {
    async *fetch(ids) {
      for (const id of ids) {
        const bytes = Buffer.from(await there.get(id))
        // The list is as it was announced; one bit of each chunk is not.
        if (ids.length > 1) bytes[0] = (bytes[0] ?? 0) ^ 1
        yield bytes
      }
    },
  }
  const offered = new OfferedContents(new MemoryChunkStore())
  const file = offeredFile(offered, origin, { path: '', content, came: new Set() })
  const { kept, run } = open(file)
  await expect(run()).rejects.toThrow('is not what the other server calls it')
  expect([...kept.contents.values()].map(contentSizeBytes)).toEqual([0])
})

test('a source that falls silent midway is given up, and what has come is kept', async () => {
  const clock = new HeldClock()
  const bytes = seededBytes(3, 2 * mib)
  const file: SourceFile = {
    path: '',
    sizeBytes: undefined,
    version: '1',
    async *open(_offset, stop) {
      // The pieces take longer than a silence may, all in all.
      for (let at = 0; at < bytes.length; at += mib / 2) {
        clock.advance(50_000)
        yield bytes.subarray(at, at + mib / 2)
      }
      setImmediate(() => clock.advance(60_000))
      await clock.sleep(Infinity, stop)
    },
  }
  const { kept, run } = open(file, clock)
  await expect(run()).rejects.toThrow(SourceBrokeError)
  expect(kept.sizes).toEqual([bytes.length])
})
