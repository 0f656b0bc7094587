import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { hexText } from '../base/bytes.ts'
import { parseGlob } from '../base/globs.ts'
import type { FilePath } from '../base/paths.ts'
import {
  ancestors,
  editLists,
  editModel,
  fileOf,
  ModelConflict,
  type ModelEdit,
  sortedModel,
  type TreeModel,
  treeModels,
} from '../testing/tree-model.ts'
import { contentSizeBytes } from './contents.ts'
import {
  type DirectoryEntry,
  FileTrees,
  type PathDifference,
  type TreeEdit,
  type TreeEntry,
} from './file-trees.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { FileDirectoryConflictError } from './tree-errors.ts'

function newTrees(): FileTrees {
  return new FileTrees(new MemoryChunkStore(), { cacheBytesMax: 100_000 })
}

async function build(trees: FileTrees, model: TreeModel): Promise<DirectoryEntry> {
  const empty = await trees.emptyRoot()
  const edits = sortedModel(model).map(([path, text]) => ({
    path,
    entry: text === undefined ? empty : fileOf(text),
  }))
  return trees.edit(empty, edits, { emptied: 'keep' })
}

async function realEdits(trees: FileTrees, edits: readonly ModelEdit[]): Promise<TreeEdit[]> {
  const real: TreeEdit[] = []
  for (const edit of edits) {
    const { path } = edit
    if (edit.kind === 'put') real.push({ path, entry: fileOf(edit.text) })
    else if (edit.kind === 'remove') real.push({ path, entry: undefined })
    else real.push({ path, entry: await build(trees, edit.tree) })
  }
  return real
}

function readable(trees: FileTrees, entry: TreeEntry | undefined): string | undefined {
  return entry === undefined ? undefined : `${entry.kind} ${hexText(trees.entryHash(entry))}`
}

async function expectModel(
  trees: FileTrees,
  root: DirectoryEntry,
  model: TreeModel,
): Promise<void> {
  const found = await Array.fromAsync(trees.walk(root, { directories: true }))
  const rows = found.map(({ path, entry }) => [
    path,
    entry.kind === 'file' ? readable(trees, entry) : [entry.sizeBytes, entry.fileCount],
  ])
  const expected = [['', totals(model, '')] as const, ...sortedModel(model)].map(([path, text]) => {
    if (typeof text === 'string') return [path, readable(trees, fileOf(text))]
    return [path, totals(model, path)]
  })
  expect(rows).toEqual(expected)
}

function totals(model: TreeModel, directory: string): [sizeBytes: number, fileCount: number] {
  let [sizeBytes, fileCount] = [0, 0]
  for (const [path, text] of model) {
    if (text === undefined || !path.startsWith(`${directory}/`)) continue
    sizeBytes += contentSizeBytes(fileOf(text).content)
    fileCount += 1
  }
  return [sizeBytes, fileCount]
}

function naive(model: TreeModel, edits: readonly ModelEdit[], emptied: 'keep' | 'remove') {
  try {
    return editModel(model, edits, emptied)
  } catch (error) {
    if (error instanceof ModelConflict) return 'conflict'
    throw error
  }
}

async function editOrConflict(
  trees: FileTrees,
  root: DirectoryEntry,
  edits: readonly TreeEdit[],
  emptied: 'keep' | 'remove',
): Promise<DirectoryEntry | 'conflict'> {
  try {
    return await trees.edit(root, edits, { emptied })
  } catch (error) {
    if (error instanceof FileDirectoryConflictError) return 'conflict'
    throw error
  }
}

test('an edited tree holds what a map of paths would, and has the root of its contents', async () => {
  await fc.assert(
    fc.asyncProperty(
      treeModels,
      editLists,
      fc.constantFrom('keep', 'remove'),
      async (model, edits, emptied) => {
        const trees = newTrees()
        const root = await build(trees, model)
        await expectModel(trees, root, model)
        const expected = naive(model, edits, emptied)
        const edited = await editOrConflict(trees, root, await realEdits(trees, edits), emptied)
        expect(edited === 'conflict').toBe(expected === 'conflict')
        if (edited === 'conflict' || expected === 'conflict') return
        await expectModel(trees, edited, expected)
        expect(edited).toEqual(await build(trees, expected))
      },
    ),
    { numRuns: 150 },
  )
})

/** Two trees, one an edit of the other as far as it does not conflict. */
const neighbours = fc.tuple(treeModels, editLists).map(([model, edits]) => {
  let edited = model
  for (const edit of edits) {
    const next = naive(edited, [edit], 'keep')
    if (next !== 'conflict') edited = next
  }
  return [model, edited] as const
})

function differenceRows(trees: FileTrees, differences: readonly PathDifference[]): unknown[] {
  return differences.map(({ path, before, after }) => [
    path,
    readable(trees, before),
    readable(trees, after),
  ])
}

test('a deep difference is the files that differ, a shallow one the children', async () => {
  await fc.assert(
    fc.asyncProperty(neighbours, async ([oldModel, newModel]) => {
      const trees = newTrees()
      const [before, after] = [await build(trees, oldModel), await build(trees, newModel)]
      const deep = await Array.fromAsync(trees.diff(before, after))
      const union = sortedModel(new Map([...oldModel, ...newModel])).map(([path]) => path)
      const file = (text: string | undefined): string | undefined =>
        text === undefined ? undefined : readable(trees, fileOf(text))
      const changed = union.filter((path) => oldModel.get(path) !== newModel.get(path))
      expect(differenceRows(trees, deep)).toEqual(
        changed.map((path) => [path, file(oldModel.get(path)), file(newModel.get(path))]),
      )
      const shallow = await Array.fromAsync(trees.diff(before, after, { shallow: true }))
      const children = union.filter((path) => ancestors(path).length === 1)
      const expected: unknown[] = []
      for (const path of children) {
        const [left, right] = [await trees.get(before, path), await trees.get(after, path)]
        const row = [path, readable(trees, left), readable(trees, right)]
        if (row[1] !== row[2]) expected.push(row)
      }
      expect(differenceRows(trees, shallow)).toEqual(expected)
    }),
    { numRuns: 100 },
  )
})

const globPieces = fc.constantFrom(
  '*',
  '?',
  'a',
  'n0',
  '0',
  '[a-b]',
  '[^a]',
  'ü',
  '\\*',
  '{a}',
  'x*',
)
const globTexts = fc
  .array(
    fc.array(globPieces, { minLength: 1, maxLength: 3 }).map((pieces) => pieces.join('')),
    { maxLength: 3 },
  )
  .map((components) => `/${components.join('/')}`)

test('a glob finds every node that matches, and its difference is that of the finds', async () => {
  await fc.assert(
    fc.asyncProperty(neighbours, globTexts, async ([oldModel, newModel], text) => {
      const trees = newTrees()
      const glob = parseGlob(text)
      const found: Map<FilePath, string | undefined>[] = []
      const roots: DirectoryEntry[] = []
      for (const model of [oldModel, newModel]) {
        const root = await build(trees, model)
        const matches = await Array.fromAsync(trees.glob(root, glob))
        const nodes = await Array.fromAsync(trees.walk(root, { directories: true }))
        expect(matches).toEqual(nodes.filter(({ path }) => glob.matches(path)))
        found.push(new Map(matches.map(({ path, entry }) => [path, readable(trees, entry)])))
        roots.push(root)
      }
      const union = sortedModel(new Map(found.flatMap((matches) => [...matches])))
      const rows = union.map(([path]) => [path, ...found.map((matches) => matches.get(path))])
      const differences = await Array.fromAsync(trees.globDiff(roots[0], roots[1], glob))
      expect(differenceRows(trees, differences)).toEqual(
        rows.filter(([, old, young]) => old !== young),
      )
      const all = await Array.fromAsync(trees.globDiff(undefined, roots[1], glob))
      expect(all.map(({ path }) => path)).toEqual([...(found[1]?.keys() ?? [])])
    }),
    { numRuns: 100 },
  )
})

test('a merge keeps both sides, whichever is ours, and reports where they clash', async () => {
  await fc.assert(
    fc.asyncProperty(neighbours, editLists, async ([baseModel, firstModel], edits) => {
      const trees = newTrees()
      const base = await build(trees, baseModel)
      const first = await build(trees, firstModel)
      const secondModel = naive(baseModel, edits, 'keep')
      const second = secondModel === 'conflict' ? base : await build(trees, secondModel)
      const merged = await trees.merge(base, first, second)
      const mirrored = await trees.merge(base, second, first)
      const clashes = merged.conflicts.map(({ path }) => path)
      expect(mirrored.conflicts.map(({ path }) => path)).toEqual(clashes)
      expect(merged.conflictCount).toBe(clashes.length)
      expect(clashes.length > 0 || mirrored.root.root === merged.root.root).toBe(true)
      for (const path of clashes) {
        const kept = await trees.get(merged.root, path)
        expect(readable(trees, kept)).toBe(readable(trees, await trees.get(first, path)))
      }
      // The totals are right if the same contents, built afresh, have them.
      const walked = await Array.fromAsync(trees.walk(merged.root, { directories: true }))
      const empty = await trees.emptyRoot()
      const rebuilt = walked.slice(1).map(({ path, entry }) => ({
        path,
        entry: entry.kind === 'file' ? entry : empty,
      }))
      expect(await trees.edit(empty, rebuilt, { emptied: 'keep' })).toEqual(merged.root)
      expect((await trees.merge(base, first, base)).root).toEqual(first)
      expect((await trees.merge(base, base, first)).root).toEqual(first)
      expect((await trees.merge(base, first, first)).root).toEqual(first)
    }),
    { numRuns: 100 },
  )
})
