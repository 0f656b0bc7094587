import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes, utf8, utf8Text } from '../../base/bytes.ts'
import { parseFilePath, pathKey, type FilePath } from '../../base/paths.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import { FileTrees, type DirectoryEntry, type TreeEntry } from '../../storage/file-trees.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { ProllyMaps } from '../../storage/prolly-map.ts'
import { OutputClashError, OutputMerge, type Output, type OutputChange } from './outputs.ts'

/** What one datum writes: path → text, or null for an empty directory. */
type Writes = Readonly<Record<string, string | null>>
/** Datums by order. */
type Datums = Readonly<Record<string, Writes>>

const chunks = new MemoryChunkStore()
const trees = new FileTrees(chunks)
const contents = new ChunkedContents(chunks)
const merge = new OutputMerge({ trees, maps: new ProllyMaps(chunks), contents })

const writes: fc.Arbitrary<Writes> = fc.dictionary(
  fc.constantFrom('/a', '/d', '/d/x', '/d/e/z'),
  fc.constantFrom('1', 'two', null, null),
  { maxKeys: 2 },
)
const datums: fc.Arbitrary<Datums> = fc.dictionary(fc.constantFrom('1', '2', '3'), writes)

async function treeOf(written: Writes): Promise<DirectoryEntry | undefined> {
  const paths = Object.keys(written)
  const torn = paths.some((path) => paths.some((other) => other.startsWith(`${path}/`)))
  if (torn) return undefined
  const edits: { path: FilePath; entry: TreeEntry }[] = []
  for (const [text, content] of Object.entries(written)) {
    const entry: TreeEntry =
      content === null
        ? await trees.emptyRoot()
        : { kind: 'file', content: await contents.writeBytes(utf8(content)) }
    edits.push({ path: parseFilePath(text), entry })
  }
  edits.sort((left, right) => compareBytes(pathKey(left.path), pathKey(right.path)))
  return await trees.edit(await trees.emptyRoot(), edits, { emptied: 'remove' })
}

async function changesBetween(before: Datums, after: Datums): Promise<readonly OutputChange[]> {
  const changes: OutputChange[] = []
  for (const order of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old, now] = [before[order], after[order]]
    changes.push({
      orderKey: utf8(order),
      before: old === undefined ? undefined : await treeOf(old),
      after: now === undefined ? undefined : await treeOf(now),
    })
  }
  return changes
}

async function applied(base: Output, changes: readonly OutputChange[]): Promise<Output | 'clash'> {
  try {
    const merged = await merge.apply(base, async function* all() {
      yield* changes
    })
    return merged.output
  } catch (error) {
    if (error instanceof OutputClashError) return 'clash'
    throw error
  }
}

/** The expected files, by brute force; 'clash' where a file meets a directory. */
function model(all: Datums): ReadonlyMap<string, string> | 'clash' {
  const files = new Map<string, string>()
  const directories = new Set<string>()
  for (const [, written] of Object.entries(all).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    for (const [path, content] of Object.entries(written)) {
      const names = path.split('/')
      for (let depth = 2; depth < names.length; depth += 1) {
        directories.add(names.slice(0, depth).join('/'))
      }
      if (content === null) directories.add(path)
      else files.set(path, (files.get(path) ?? '') + content)
    }
  }
  if ([...files.keys()].some((path) => directories.has(path))) return 'clash'
  for (const path of directories) files.set(path, '<directory>')
  return files
}

async function contentOf({ tree }: Output): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for await (const { path, entry } of trees.walk(tree, { directories: true })) {
    if (path === '') continue
    if (entry.kind === 'directory') {
      found.set(path, '<directory>')
      continue
    }
    const parts = await Array.fromAsync(contents.read(entry.content))
    found.set(path, parts.map(utf8Text).join(''))
  }
  return found
}

async function usable(all: Datums): Promise<Datums> {
  const kept: Record<string, Writes> = {}
  for (const [order, written] of Object.entries(all)) {
    if ((await treeOf(written)) !== undefined) kept[order] = written
  }
  return kept
}

test('outputs merge in datum order, or clash where a file meets a directory', async () => {
  await fc.assert(
    fc.asyncProperty(datums, async (some) => {
      const all = await usable(some)
      const full = await applied(await merge.empty(), await changesBetween({}, all))
      expect(full === 'clash' ? full : await contentOf(full)).toEqual(model(all))
    }),
    { numRuns: 300 },
  )
})

test('an incremental merge gives the same roots as a full one', async () => {
  await fc.assert(
    fc.asyncProperty(datums, datums, async (someBefore, someAfter) => {
      const [before, after] = [await usable(someBefore), await usable(someAfter)]
      const empty = await merge.empty()
      const base = await applied(empty, await changesBetween({}, before))
      fc.pre(base !== 'clash')
      const full = await applied(empty, await changesBetween({}, after))
      const incremental = await applied(base, await changesBetween(before, after))
      expect(rootsOf(incremental)).toEqual(rootsOf(full))
    }),
    { numRuns: 1000 },
  )
})

function rootsOf(output: Output | 'clash'): readonly string[] {
  return output === 'clash' ? [output] : [output.tree.root, output.contributions]
}
