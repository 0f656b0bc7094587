import { expect, test } from 'vitest'
import type { FilePath } from '../base/paths.ts'
import { CountingChunks } from '../testing/counting-chunks.ts'
import { ChunkWalk } from '../testing/reachable-chunks.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { referencesOf } from './collecting/node-references.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { ChunkId, ChunkStore } from './chunks.ts'
import { FileTrees, type TreeEdit, type TreeRoot } from './file-trees.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { NamedChunks } from './named-chunks.ts'

const { signal } = new AbortController()
const owner = 'commit'

/** A tree with files of every size, and the chunks that it is made of. */
async function makeTree(chunks: ChunkStore, seed: number) {
  const [contents, trees] = [new ChunkedContents(chunks), new FileTrees(chunks)]
  const sizes = [10, 5000, 8_000_000, ...Array.from({ length: 1000 }, () => 300)]
  const edits: TreeEdit[] = []
  for (const [index, size] of sizes.entries()) {
    const bytes = seededBytes(seed * 10_000 + index, size)
    const content = await contents.write(
      (async function* () {
        yield bytes
      })(),
    )
    const path = `/d${index % 3}/${index}` as FilePath
    edits.push({ path, entry: { kind: 'file', content } })
  }
  const sorted = edits.toSorted((left, right) => (left.path < right.path ? -1 : 1))
  const { root } = await trees.edit(await trees.emptyRoot(), sorted, { emptied: 'keep' })
  const walk = new ChunkWalk(chunks)
  await walk.root({ kind: 'tree', root })
  return { root, members: [...walk.seen] }
}

function treeOf(root: TreeRoot) {
  return { root: async () => Promise.resolve(root), signal }
}

test('all that a tree is made of is found in it, and nothing else', async () => {
  const chunks = new MemoryChunkStore()
  const [ours, theirs] = [await makeTree(chunks, 1), await makeTree(chunks, 2)]
  expect(ours.members.length).toBeGreaterThan(1000)
  const named = new NamedChunks(chunks)
  const asked = [...ours.members, ...theirs.members]
  const found = await named.find(owner, asked, treeOf(ours.root))
  expect([...found.keys()].toSorted()).toEqual(ours.members.toSorted())
  // What was remembered is of its owner only.
  expect((await named.find('other', ours.members, treeOf(theirs.root))).size).toBe(0)
})

test('who goes down a tree is never looked for in all of it', async () => {
  const chunks = new MemoryChunkStore()
  const { root, members } = await makeTree(chunks, 1)
  const counting = new CountingChunks(chunks)
  const named = new NamedChunks(counting)
  const came = new Set<ChunkId>()
  const pending: ChunkId[] = [root]
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    const chunk = (await named.find(owner, [id], treeOf(root))).get(id)
    if (chunk === undefined) return expect.fail(`${id} is not found`)
    came.add(id)
    const bytes = await chunks.get(id)
    named.noteBelow(owner, chunk, bytes)
    if (chunk.use === 'chunk') continue
    for (const below of referencesOf(chunk, bytes, undefined)) {
      if (!came.has(below.id)) pending.push(below.id)
    }
  }
  expect([...came].toSorted()).toEqual(members.toSorted())
  expect(counting.readCount).toBe(0)
})

test('contents that were listed are known without a look at the tree', async () => {
  const chunks = new MemoryChunkStore()
  const content = await new ChunkedContents(chunks).write(
    (async function* () {
      yield seededBytes(1, 8_000_000)
    })(),
  )
  const named = new NamedChunks(chunks)
  named.note(owner, content)
  const id = content.kind === 'list' ? content.root : expect.fail('it is a list')
  const nowhere = { root: async () => expect.fail('it is remembered'), signal }
  expect((await named.find(owner, [id], nowhere)).get(id)).toMatchObject({ use: 'list' })
})
