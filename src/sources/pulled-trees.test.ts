import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { parseFilePath } from '../base/paths.ts'
import { SystemRandom } from '../base/random.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import type { ChunkId } from '../storage/chunks.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { OfferedContents } from '../storage/offered-contents.ts'
import { openPackedStore } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import type { PeerContents } from './pfs/peer.ts'
import { pullTree, type PulledTreesPorts } from './pulled-trees.ts'
import type { SessionPorts } from './sources.ts'

const { signal } = new AbortController()

/** A tree elsewhere, and a store here that has nothing. */
async function open() {
  const chunks = new MemoryChunkStore()
  const trees = new FileTrees(chunks)
  const contents = new ChunkedContents(chunks)
  const content = await contents.writeBytes(seededBytes(1, 3_000_000))
  const edits = [
    { path: parseFilePath('/a/big'), entry: { kind: 'file', content } },
    {
      path: parseFilePath('/small'),
      entry: { kind: 'file', content: { kind: 'inline', bytes: Buffer.from('s') } },
    },
  ] as const
  const tree = await trees.edit(await trees.emptyRoot(), edits, { emptied: 'keep' })
  const packed = await openPackedStore()
  const here = packed.store
  const session = {
    offered: new OfferedContents(here),
    clock: new SystemClock(),
    random: new SystemRandom(),
    patience: { stallMs: 10_000, attemptsMax: 1, pauseMs: 1 },
  } as unknown as SessionPorts
  const ports: PulledTreesPorts = {
    session,
    chunks: here,
    contents: new ChunkedContents(here),
    trees: new FileTrees(here),
  }
  return { chunks, trees, tree, ports, packed }
}

function originOf(get: (id: ChunkId) => Promise<Uint8Array>): PeerContents {
  return {
    async *offers() {
      await Promise.resolve()
      yield undefined
    },
    async *fetch(ids) {
      for (const id of ids) yield await get(id)
    },
  }
}

const tally = () => ({ fileCount: 0, addedBytes: 0, cameBytes: 0 })

test('the tree that is made here is the one that was there', async () => {
  const { chunks, tree, ports, packed } = await open()
  await using _ = packed
  const before = await ports.trees.emptyRoot()
  const counts = tally()
  const what = { name: 'x', before, root: tree.root }
  const origin = originOf((id) => chunks.get(id))
  expect(await pullTree(ports, origin, what, counts, signal)).toEqual(tree)
  expect(counts).toEqual({ fileCount: 2, addedBytes: 3_000_001, cameBytes: 3_000_001 })
  const again = tally()
  expect(await pullTree(ports, origin, what, again, signal)).toEqual(tree)
  // The small one is a part of its directory, which is read.
  expect(again.cameBytes).toBe(1)
})

test('a server that sends other chunks than it was asked for is refused', async () => {
  const { chunks, tree, ports, packed } = await open()
  await using _ = packed
  const before = await ports.trees.emptyRoot()
  const what = { name: 'x', before, root: tree.root }
  const lying = originOf(async (id) => {
    const bytes = Buffer.from(await chunks.get(id))
    bytes[0] = (bytes[0] ?? 0) ^ 1
    return bytes
  })
  await expect(pullTree(ports, lying, what, tally(), signal)).rejects.toThrow(
    /another chunk than was asked for/,
  )
})

test('a server whose tree is not the one that its files make is refused', async () => {
  const { chunks, trees, tree, ports, packed } = await open()
  await using _ = packed
  // A directory that says of its file that it is larger than it is: no such tree is ever made.
  const entry = await trees.get(tree, parseFilePath('/a'))
  if (entry?.kind !== 'directory') throw new Error('a is a directory')
  const wrong = { ...entry, sizeBytes: entry.sizeBytes + 1 }
  const edits = [{ path: parseFilePath('/a'), entry: wrong }]
  const lie = await trees.edit(tree, edits, { emptied: 'keep' })
  expect(lie.root).not.toBe(tree.root)
  const before = await ports.trees.emptyRoot()
  const what = { name: 'x', before, root: lie.root }
  const origin = originOf((id) => chunks.get(id))
  await expect(pullTree(ports, origin, what, tally(), signal)).rejects.toThrow(
    /is not what the other server says it is/,
  )
})
