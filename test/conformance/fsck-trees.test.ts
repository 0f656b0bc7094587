import { afterAll, beforeAll, expect, test } from 'vitest'
import { concatBytes, hexBytes, utf8 } from '../../src/base/bytes.ts'
import { BoundaryRule } from '../../src/storage/prolly/boundaries.ts'
import type { ChunkId } from '../../src/storage/chunks.ts'
import { encodeTreeEntry, type TreeEntry } from '../../src/storage/tree-entries.ts'
import { chunkIdOf } from '../../src/storage/chunk-id.ts'
import { ChunkedContents } from '../../src/storage/chunked-contents.ts'
import { MemoryChunkStore } from '../../src/storage/memory-chunks.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { chunkFileBytes, type DamagedStore, kindsOf, WholeStore } from '../harness/damaged-store.ts'

let whole: WholeStore

beforeAll(async () => {
  whole = await WholeStore.make()
})
afterAll(async () => {
  await whole[Symbol.asyncDispose]()
})

const chunk = chunkIdOf(chunkFileBytes)
const soundFile: TreeEntry = {
  kind: 'file',
  content: { kind: 'chunk', chunk, sizeBytes: chunkFileBytes.length },
}

/** A leaf that shares nothing between its keys, which is right only if they have nothing in common. */
function leafOf(...entries: readonly (readonly [name: string, value: Uint8Array])[]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(1, 0, entries.length, 0)]
  for (const [name, value] of entries) {
    parts.push(Uint8Array.of(0, name.length, value.length), utf8(name), value)
  }
  return concatBytes(parts)
}

function directoryOf(node: Uint8Array, sizeBytes: number, fileCount: number): Uint8Array {
  const root = chunkIdOf(node)
  return encodeTreeEntry({ kind: 'directory', root, inlineNode: node, sizeBytes, fileCount })
}

/** Makes a tree the root of a commit that no job made, whose size nobody derives from it. */
async function withRoot(
  root: Uint8Array,
  facts: { readonly size: number; readonly count: number },
  ...others: readonly Uint8Array[]
): Promise<DamagedStore> {
  const store = await whole.copy()
  const [id = ''] = await store.store(root, ...others)
  store.sql(
    "UPDATE commits SET root = ?, size_bytes = ?, file_count = ? WHERE repo = 'far'",
    id,
    facts.size,
    facts.count,
  )
  return store
}

const size = chunkFileBytes.length
const file = encodeTreeEntry(soundFile)
const x = encodeTreeEntry({ kind: 'file', content: { kind: 'inline', bytes: utf8('x') } })

test('a tree that is made by hand as it should be is whole', async () => {
  const root = leafOf(['a', file], ['d', directoryOf(leafOf(['x', x]), 1, 1)])
  const store = await withRoot(root, { size: size + 1, count: 2 })
  expect((await store.check({ full: true })).findings).toEqual([])
})

test.each([
  ['no node', utf8('not a node, but a text'), 'node-damaged'],
  ['keys out of order', leafOf(['b', x], ['a', x]), 'node-damaged'],
  ['a key twice', leafOf(['a', x], ['a', x]), 'node-damaged'],
  ['a name with a slash', leafOf(['a/b', x]), 'node-damaged'],
  ['an entry of an unknown kind', leafOf(['a', Uint8Array.of(0x77)]), 'node-damaged'],
])('a root with %s is told', async (_what, root, kind) => {
  const store = await withRoot(root, { size: 2, count: 2 })
  const result = await store.check()
  expect(kindsOf(result)).toContain(kind)
  const damage = result.findings.find((finding) => finding.kind.name === kind)
  expect(damage?.subject).toMatchObject({ chunk: chunkIdOf(root) })
  expect(damage?.affected.names[0]).toMatch(/^far@/)
})

test('sums of a directory that are not those of what is in it are told, once', async () => {
  const inner = directoryOf(leafOf(['x', x]), 5, 1)
  const root = leafOf(['a', x], ['d', inner])
  const store = await withRoot(root, { size: 6, count: 2 })
  const result = await store.check()
  expect(kindsOf(result)).toEqual(['directory-sums-wrong'])
  expect(result.findings).toMatchObject([{ subject: { repo: 'far', path: '/d' } }])
})

test.each([
  ['one chunk', { kind: 'chunk', chunk, sizeBytes: size + 1 } as const],
  ['a list that is a chunk', { kind: 'list', root: chunk, sizeBytes: size } as const],
])('a file that is said to be another than %s is told', async (_what, content) => {
  const root = leafOf(['a', encodeTreeEntry({ kind: 'file', content })])
  const store = await withRoot(root, { size: content.sizeBytes, count: 1 })
  const kind = content.kind === 'chunk' ? 'content-size-wrong' : 'node-damaged'
  expect(kindsOf(await store.check())).toEqual([kind])
})

test('a file whose chunk list is told with another size is told', async () => {
  const id = await listRoot()
  const content = { kind: 'list', root: id, sizeBytes: 5_999_999 } as const
  const other = await withRoot(leafOf(['a', encodeTreeEntry({ kind: 'file', content })]), {
    size: content.sizeBytes,
    count: 1,
  })
  expect(kindsOf(await other.check())).toEqual(['content-size-wrong'])
})

/** The root of the large file's list, as another implementation of the format makes it. */
async function listRoot(): Promise<ChunkId> {
  const contents = new ChunkedContents(new MemoryChunkStore())
  const content = await contents.writeBytes(
    concatBytes([seededBytes(2, 3_000_000), seededBytes(3, 3_000_000)]),
  )
  if (content.kind !== 'list') throw new Error('the large file is a list')
  return content.root
}

const unshared = leafOf(['aa', x], ['ab', x])
const bare = leafOf(['a', x])
const onlyChild = concatBytes([
  Uint8Array.of(1, 1, 1, 0, 0, 1),
  utf8('a'),
  hexBytes(chunkIdOf(bare)),
  Uint8Array.of(1),
])

test.each([
  ['keys that do not share their beginnings', unshared, 2, []],
  ['one child below its root', onlyChild, 1, [bare]],
  ['a small file as a chunk', leafOf(['a', smallChunk()]), 2, []],
])('a tree with %s is no canonical one: told in full', async (_what, root, count, others) => {
  const facts = { size: count, count: count === 2 && root !== unshared ? 1 : count }
  const store = await withRoot(root, facts, ...others, utf8('xx'))
  expect(kindsOf(await store.check())).toEqual([])
  const result = await store.check({ full: true })
  expect(kindsOf(result)).toEqual(['node-not-canonical'])
})

/** Two bytes that should be inline. */
function smallChunk(): Uint8Array {
  return encodeTreeEntry({
    kind: 'file',
    content: { kind: 'chunk', chunk: chunkIdOf(utf8('xx')), sizeBytes: 2 },
  })
}

test('a tree whose nodes end where they should not is told in full', async () => {
  const rule = new BoundaryRule(0)
  // A name after which a leaf may not end yet.
  const name = ['a', 'b', 'c'].find((text) => {
    rule.restart()
    return !rule.endsAfter(utf8(text), 0, 1, x.length)
  })
  const [left, right] = [leafOf([name ?? '', x]), leafOf(['z', x])]
  const above = concatBytes([
    Uint8Array.of(1, 1, 2, 0, 0, 1),
    utf8(name ?? ''),
    hexBytes(chunkIdOf(left)),
    Uint8Array.of(1, 0, 1),
    utf8('z'),
    hexBytes(chunkIdOf(right)),
    Uint8Array.of(1),
  ])
  const store = await withRoot(above, { size: 2, count: 2 }, left, right)
  expect(kindsOf(await store.check())).toEqual([])
  expect(kindsOf(await store.check({ full: true }))).toEqual(['node-not-canonical'])
})

test('a child that is another than its parent says is told', async () => {
  const child = leafOf(['a', x])
  const above = concatBytes([
    Uint8Array.of(1, 1, 1, 0, 0, 1),
    utf8('b'),
    hexBytes(chunkIdOf(child)),
    Uint8Array.of(1),
  ])
  const store = await withRoot(above, { size: 1, count: 1 }, child)
  expect(kindsOf(await store.check())).toEqual(['node-damaged'])
})
