import { expect, test } from 'vitest'
import { compareBytes } from '../base/bytes.ts'
import { parseFilePath, pathKey } from '../base/paths.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { FileDirectoryConflictError } from '../storage/tree-errors.ts'
import { fileOf } from '../testing/tree-model.ts'
import { UnsortedTree } from './unsorted-trees.ts'

const chunks = new MemoryChunkStore()
const ports = { chunks, trees: new FileTrees(chunks) }

test('entries in any order make the tree that they make when they are sorted', async () => {
  const empty = await ports.trees.emptyRoot()
  const entries = Array.from({ length: 2000 }, (_, index) => ({
    path: parseFilePath(`/d${index % 13}/f${(index * 7919) % 2000}`),
    entry: index % 100 === 0 ? empty : fileOf(`content ${index}`),
  }))
  const tree = new UnsortedTree(ports)
  for (const { path, entry } of entries) await tree.add(path, entry)
  const sorted = entries
    .map((edit) => ({ ...edit, key: pathKey(edit.path) }))
    .toSorted((left, right) => compareBytes(left.key, right.key))
  const expected = await ports.trees.edit(empty, sorted, { emptied: 'keep' })
  expect(await tree.build()).toEqual(expected)
})

test('a file below a file is a conflict', async () => {
  const tree = new UnsortedTree(ports)
  for (const path of ['/a/b', '/a']) await tree.add(parseFilePath(path), fileOf(path))
  await expect(tree.build()).rejects.toThrow(FileDirectoryConflictError)
})
