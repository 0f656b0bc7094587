import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import type { CollectionRoot, CollectionRun, RemovedRows } from '../storage/collection-roots.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { Leases } from '../storage/leases.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { temporaryDatabase } from '../testing/temporary-database.ts'
import { ObjectCollection, untaggedGraceMicros } from './object-collection.ts'
import { objectMigrations } from './object-tables.ts'
import { Objects } from './objects.ts'
import { versioningMigrations } from './tables.ts'

/** The machine's clock, moved. */
class MovedClock extends SystemClock {
  aheadMicros = 0

  override now(): number {
    return super.now() + this.aheadMicros
  }
}

async function* streamOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

test('an object without a tag goes after a day, one that is put again starts anew', async () => {
  await using held = await temporaryDatabase([versioningMigrations, objectMigrations])
  const { database } = held
  const clock = new MovedClock()
  const chunks = new MemoryChunkStore()
  const contents = new ChunkedContents(chunks)
  const trees = new FileTrees(chunks)
  const objects = new Objects({ database, chunks, contents, trees, leases: new Leases(), clock })
  const source = new ObjectCollection({ database, clock, tagPrefixes: async () => [] })
  const collect = async (isRehearsal = false): Promise<readonly [number, CollectionRoot[]]> => {
    const counts: Record<keyof RemovedRows, number> = { results: 0, objects: 0, tags: 0 }
    const run: CollectionRun = {
      isRehearsal,
      isIncremental: false,
      isStrict: false,
      inline: { wantedInline: new Set(), seenInline: new Set() },
      isMarked: async () => false,
      removed: (what, count) => {
        counts[what] += count
      },
    }
    const roots = await Array.fromAsync(source.collectionRoots(run))
    return [counts.objects, roots]
  }
  const text = 'some bytes that are a chunk, and not inline, since they are more than a few '
  const old = await objects.put(streamOf(`${text}1`), () => [])
  const tagged = await objects.put(streamOf(`${text}2`), () => ['kept'])
  const again = await objects.put(streamOf(`${text}3`), () => [])
  clock.aheadMicros = untaggedGraceMicros - 60_000_000
  await objects.put(streamOf(`${text}3`), () => [])
  expect((await collect())[1]).toHaveLength(3)
  clock.aheadMicros += 120_000_000
  const [counted, without] = await collect(true)
  expect(counted).toBe(1)
  expect(without).toHaveLength(2)
  expect(await Array.fromAsync(objects.list())).toHaveLength(3)
  expect((await collect())[0]).toBe(1)
  expect(await Array.fromAsync(objects.list())).toEqual([tagged, again].toSorted())
  expect(await objects.exists(old)).toBe(false)
  clock.aheadMicros += 2 * untaggedGraceMicros
  await objects.deleteTags(['kept'])
  expect(await collect()).toEqual([2, []])
})
