import { createHash } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { BlockRefSchema, ObjectIndexSchema, type ObjectIndex } from '../../gen/pfs_pb.ts'
import { BlockObjects } from './block-objects.ts'
import type { Blobs } from './blobs.ts'

const count = 2000
const hashes = Array.from({ length: count }, (_, at) =>
  createHash('sha512').update(String(at)).digest('hex'),
)

/** A compacted store, and how often each index of it is read, and how many at once. */
function compactedStore(): {
  readonly blobs: Blobs
  readonly reads: ReadonlyMap<string, number>
  readonly atOnceMax: () => number
} {
  const indexes = new Map<string, ObjectIndex>()
  const indexOf = (name: string): ObjectIndex => {
    const key = `index/${name.slice(0, 2)}`
    const index = indexes.get(key) ?? create(ObjectIndexSchema)
    indexes.set(key, index)
    return index
  }
  for (const [at, hash] of hashes.entries()) {
    const range = { lower: BigInt(at), upper: BigInt(2 * at) }
    const block = { hash: `block-${at % 3}` }
    indexOf(hash).objects[hash] = create(BlockRefSchema, { block, range })
    indexOf(`${hash}_tag`).tags[`${hash}_tag`] = { $typeName: 'pfs.Object', hash }
  }
  indexOf('odd').tags['odd'] = { $typeName: 'pfs.Object', hash: 'no hash' }
  const reads = new Map<string, number>()
  let [atOnce, atOnceMax] = [0, 0]
  return {
    blobs: {
      name: 'store',
      read: async (key) => {
        const index = indexes.get(key)
        if (index === undefined) return undefined
        reads.set(key, (reads.get(key) ?? 0) + 1)
        return (async function* bytes() {
          atOnce += 1
          atOnceMax = Math.max(atOnceMax, atOnce)
          await Promise.resolve()
          yield toBinary(ObjectIndexSchema, index)
          atOnce -= 1
        })()
      },
      async *list(prefix) {
        for (const key of indexes.keys()) if (key.startsWith(prefix)) yield key
      },
    },
    reads,
    atOnceMax: () => atOnceMax,
  }
}

test('the indexes of a compacted store are read once each, however they are asked', async () => {
  const { blobs, reads, atOnceMax } = compactedStore()
  await using objects = new BlockObjects(blobs)
  const sizes = await Promise.all(hashes.map((hash) => objects.sizeBytes(hash)))
  expect(sizes).toEqual(hashes.map((_, at) => at))
  for (const hash of hashes.slice(0, 300)) {
    expect(await objects.findTag(`${hash}_tag`)).toBe(hash)
  }
  expect(await objects.findTag('odd')).toBe('no hash')
  expect(await objects.findTag('none')).toBeUndefined()
  await expect(objects.sizeBytes('00'.repeat(64))).rejects.toThrow(/there is no object 00/)
  expect(reads.size).toBe(257)
  expect(new Set(reads.values())).toEqual(new Set([1]))
  expect(atOnceMax()).toBe(1)
})
