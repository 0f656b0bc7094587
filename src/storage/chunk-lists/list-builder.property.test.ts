import { createHash } from 'node:crypto'
import { assert, asyncProperty, integer, oneof } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DataLossError } from '../../base/errors.ts'
import type { ChunkId } from '../chunks.ts'
import { MemoryChunkStore } from '../memory-chunks.ts'
import { ListBuilder } from './list-builder.ts'
import { readList } from './list-reader.ts'
import { type ChunkRef, decodeNode, encodeNode } from './node.ts'

/** Chunk `index` of the list of the test vector; no such chunk is stored. */
function refAt(index: number): ChunkRef {
  const number = Buffer.alloc(8)
  number.writeBigUInt64LE(BigInt(index))
  const id = createHash('sha256').update(number).digest('hex') as ChunkId
  return { id, sizeBytes: index + 1 }
}

const refs: readonly ChunkRef[] = Array.from({ length: 100_000 }, (_, index) => refAt(index))

async function build(chunks: MemoryChunkStore, all: readonly ChunkRef[]): Promise<ChunkRef> {
  const builder = new ListBuilder(chunks)
  for (const ref of all) await builder.push(ref)
  return (await builder.finish()).ref
}

/** Around one node, around two levels, and anything. */
const counts = oneof(
  integer({ min: 2, max: 40 }),
  integer({ min: 100, max: 1100 }),
  integer({ min: 2, max: 30_000 }),
)

describe('lists of chunks', () => {
  test('a list of three levels has the root of the test vector and lists what was pushed', async () => {
    const chunks = new MemoryChunkStore()
    const root = await build(chunks, refs)
    expect(root.id).toBe('0a8dee893c6bda9e52c588efec2bc49470012389c0520f7ca95aa5f0d1e94ac4')
    expect(decodeNode(root.id, await chunks.get(root.id)).level).toBe(2)
    const listed = await Array.fromAsync(readList(chunks, root), ({ id }) => id)
    expect(listed).toEqual(refs.map(({ id }) => id))
  })

  test('reading from an offset starts at the chunk that holds it', async () => {
    const chunks = new MemoryChunkStore()
    const all = refs.slice(0, 20_000)
    const root = await build(chunks, all)
    await assert(
      asyncProperty(integer({ min: 0, max: root.sizeBytes - 1 }), async (offset) => {
        for await (const chunk of readList(chunks, root, offset)) {
          expect(chunk.start).toBeLessThanOrEqual(offset)
          expect(chunk.start + chunk.sizeBytes).toBeGreaterThan(offset)
          expect(all[chunk.sizeBytes - 1]?.id).toBe(chunk.id)
          break
        }
      }),
      { numRuns: 200 },
    )
  })

  test('going on before the last chunk gives what building the whole gives', async () => {
    await assert(
      asyncProperty(counts, integer({ min: 1, max: 400 }), async (count, more) => {
        const chunks = new MemoryChunkStore()
        const root = await build(chunks, refs.slice(0, count))
        const { builder, last } = await ListBuilder.beforeLast(chunks, root.id)
        expect(last).toEqual(refs[count - 1])
        for (const ref of refs.slice(count - 1, count + more)) await builder.push(ref)
        const whole = await build(new MemoryChunkStore(), refs.slice(0, count + more))
        expect((await builder.finish()).ref).toEqual(whole)
      }),
      { numRuns: 60 },
    )
  })

  test('going on where the last node has a single chunk gives the whole, too', async () => {
    const chunks = new MemoryChunkStore()
    const root = await build(chunks, refs.slice(0, 5000))
    const { entries } = decodeNode(root.id, await chunks.get(root.id))
    for (let at = 0, count = 0; at < 20; at += 1) {
      const leaf = decodeNode(root.id, await chunks.get(entries[at]?.id ?? root.id))
      count += leaf.entries.length
      // The chunk after the end of a node is alone in the next one.
      const whole = await build(chunks, refs.slice(0, count + 1))
      const { builder, last } = await ListBuilder.beforeLast(chunks, whole.id)
      await builder.push(last)
      expect(await builder.finish()).toEqual({ kind: 'list', ref: whole })
    }
  })

  test('a change in the middle stores a few nodes', async () => {
    const chunks = new MemoryChunkStore()
    await build(chunks, refs)
    const before = chunks.count
    const changed = [...refs.slice(0, 50_000), refAt(123_456), ...refs.slice(50_000)]
    await build(chunks, changed)
    expect(before).toBeGreaterThan(500)
    expect(chunks.count - before).toBeLessThan(10)
  })

  test('equal chunks in a row make a finite list', async () => {
    const boundary = refs.find(({ id }) => id.startsWith('00') || id.startsWith('80')) ?? refAt(0)
    for (const same of [boundary, refAt(0)]) {
      const chunks = new MemoryChunkStore()
      const root = await build(
        chunks,
        Array.from({ length: 5000 }, () => same),
      )
      expect(await Array.fromAsync(readList(chunks, root))).toHaveLength(5000)
    }
  })

  test('a node that does not fit its parent, or is none, is reported as lost data', async () => {
    const chunks = new MemoryChunkStore()
    const { id } = await build(chunks, refs.slice(0, 10))
    const read = (root: ChunkRef): Promise<unknown> => Array.fromAsync(readList(chunks, root))
    await expect(read({ id, sizeBytes: 1 })).rejects.toThrow(DataLossError)
    const text = await chunks.put(Buffer.from('not a node'))
    await expect(read({ id: text, sizeBytes: 10 })).rejects.toThrow(DataLossError)
    const low = { id, sizeBytes: 55 }
    const skewed = await chunks.put(encodeNode({ level: 2, entries: [low] }))
    await expect(read({ id: skewed, sizeBytes: 55 })).rejects.toThrow(DataLossError)
  })
})
