import { expect, test } from 'vitest'
import { parseGlob } from '../base/globs.ts'
import { parseFilePath, rootPath } from '../base/paths.ts'
import { fileOf } from '../testing/tree-model.ts'
import { type DirectoryEntry, FileTrees } from './file-trees.ts'
import { MemoryChunkStore } from './memory-chunks.ts'

/** As deep as a path of 4,096 bytes can be. */
const names = Array.from({ length: 2000 }, () => 'd').join('/')

/** A tree put below itself again and again, as copies do: deeper than any path. */
async function deepTree(trees: FileTrees, copyCount: number): Promise<DirectoryEntry> {
  const leaf = { path: parseFilePath(`/${names}/x`), entry: fileOf('deep') }
  let root = await trees.edit(await trees.emptyRoot(), [leaf], { emptied: 'keep' })
  for (let copy = 0; copy < copyCount; copy += 1) {
    const below = { path: parseFilePath(`/${names}/c${copy}`), entry: root }
    root = await trees.edit(await trees.emptyRoot(), [below], { emptied: 'keep' })
  }
  return root
}

test('a tree may be deeper than the stack: it is walked, compared, merged and kept whole', async () => {
  const trees = new FileTrees(new MemoryChunkStore())
  const root = await deepTree(trees, 3)
  const found = await Array.fromAsync(trees.walk(root))
  expect(found.map(({ path }) => path.length)).toEqual([4 * 4000 + 3 * 3 + 2])
  const empty = await trees.emptyRoot()
  const differences = await Array.fromAsync(trees.diff(empty, root))
  expect(differences.map(({ path }) => path)).toEqual(found.map(({ path }) => path))
  expect((await trees.merge(empty, empty, root)).root.root).toBe(root.root)
  const glob = parseGlob(`/${names.replaceAll('d', '*')}`)
  expect(await Array.fromAsync(trees.glob(root, glob))).toHaveLength(1)
  const gone = { path: rootPath, entry: undefined }
  expect((await trees.edit(root, [gone], { emptied: 'keep' })).root).toBe(empty.root)
})
