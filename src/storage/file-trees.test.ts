import { describe, expect, test } from 'vitest'
import { compareBytes, hexText, utf8 } from '../base/bytes.ts'
import { parseGlob } from '../base/globs.ts'
import { parseFilePath, pathKey } from '../base/paths.ts'
import { CountingChunks } from '../testing/counting-chunks.ts'
import { fileOf } from '../testing/tree-model.ts'
import { chunkIdOf } from './chunk-id.ts'
import { contentHash } from './content-hash.ts'
import { type DirectoryEntry, FileTrees, type TreeEdit, type TreeEntry } from './file-trees.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { decodeTreeEntry, encodeTreeEntry } from './tree-entries.ts'
import { FileDirectoryConflictError, NoNodeError, NotADirectoryError } from './tree-errors.ts'

function put(path: string, text: string): TreeEdit {
  return { path: parseFilePath(path), entry: fileOf(text) }
}

function removal(path: string): TreeEdit {
  return { path: parseFilePath(path), entry: undefined }
}

async function treeOf(trees: FileTrees, ...edits: TreeEdit[]): Promise<DirectoryEntry> {
  return trees.edit(await trees.emptyRoot(), edits, { emptied: 'keep' })
}

async function pathsOf(trees: FileTrees, root: DirectoryEntry): Promise<string[]> {
  const found = await Array.fromAsync(trees.walk(root, { directories: true }))
  return found.map(({ path }) => path)
}

describe('the format', () => {
  const chunk = chunkIdOf(utf8('x'))
  const small = { kind: 'directory', root: chunkIdOf(Uint8Array.of(1, 0, 0, 0)) } as const
  const vectors: readonly (readonly [name: string, entry: TreeEntry, hex: string])[] = [
    ['an empty file', fileOf(''), '01'],
    ['a small file', fileOf('hi'), '016869'],
    [
      'a file of one chunk',
      { kind: 'file', content: { kind: 'chunk', chunk, sizeBytes: 300 } },
      `02ac02${chunk}`,
    ],
    [
      'a file of several chunks',
      { kind: 'file', content: { kind: 'list', root: chunk, sizeBytes: 2 ** 40 } },
      `03808080808020${chunk}`,
    ],
    [
      'a directory',
      { kind: 'directory', root: chunk, sizeBytes: 127, fileCount: 128 },
      `107f8001${chunk}`,
    ],
    [
      'a small directory',
      { ...small, inlineNode: Uint8Array.of(1, 0, 0, 0), sizeBytes: 0, fileCount: 0 },
      '11000001000000',
    ],
  ]

  // The vectors of docs/formats/file-trees.md.
  test.each(vectors)('encodes %s as documented', (_, entry, hex) => {
    expect(hexText(encodeTreeEntry(entry))).toBe(hex)
    const decoded = decodeTreeEntry(encodeTreeEntry(entry))
    expect(hexText(encodeTreeEntry(decoded))).toBe(hex)
    expect(decoded.kind).toBe(entry.kind)
  })

  test.each(['', '00', '04', '02', '0201', `02ac02${chunk}00`, `01${'00'.repeat(65)}`, '1180'])(
    'bytes that are no entry (%s) are data loss',
    (hex) => {
      expect(() => decodeTreeEntry(Buffer.from(hex, 'hex'))).toThrow(/stored/)
    },
  )

  test('hashes contents as documented', () => {
    for (const text of ['hi', 'x'.repeat(100)]) {
      expect(hexText(contentHash(fileOf(text).content))).toBe(chunkIdOf(utf8(text)))
    }
    const list = { kind: 'list', root: chunk, sizeBytes: 5 } as const
    expect(hexText(contentHash(list))).toBe(
      '8eebe11a1a1aad7223efc7d3e0074100ec6c5caafb2b46ea9b197080183cbc20',
    )
  })

  test('gives a fixed tree its golden root', async () => {
    const trees = new FileTrees(new MemoryChunkStore())
    const edits = Array.from({ length: 12_345 }, (_, index) => {
      const [first, second] = [index % 7, Math.floor(index / 7) % 50]
      return put(`/d${first}/e${second}/f${index}`, 'x'.repeat(index % 100))
    })
    const root = await treeOf(
      trees,
      ...edits.toSorted((left, right) => compareBytes(pathKey(left.path), pathKey(right.path))),
    )
    expect(root).toEqual({
      kind: 'directory',
      root: 'b173a432d49c66266d39f4110800e73b0df23c0f8a0aef5555670f1bf7a4a0fd',
      sizeBytes: 609_840,
      fileCount: 12_345,
    })
  })
})

describe('editing', () => {
  const trees = new FileTrees(new MemoryChunkStore())

  test('makes parents, and keeps or removes them when they are emptied', async () => {
    const root = await treeOf(trees, put('/a/b/c', 'x'), put('/d', 'y'))
    expect(await pathsOf(trees, root)).toEqual(['', '/a', '/a/b', '/a/b/c', '/d'])
    const edits = [removal('/a/b/c')]
    const kept = await trees.edit(root, edits, { emptied: 'keep' })
    expect(await pathsOf(trees, kept)).toEqual(['', '/a', '/a/b', '/d'])
    const removed = await trees.edit(root, edits, { emptied: 'remove' })
    expect(removed).toEqual(await treeOf(trees, put('/d', 'y')))
  })

  test('leaves a directory that was empty before, whatever is removed below it', async () => {
    const empty = await trees.emptyRoot()
    const root = await treeOf(trees, { path: parseFilePath('/e'), entry: empty })
    const edited = await trees.edit(root, [removal('/e/x'), removal('/f/x')], { emptied: 'remove' })
    expect(edited).toEqual(root)
  })

  test('refuses a file onto a directory and a file below a file, and says where', async () => {
    const root = await treeOf(trees, put('/a/b', 'x'), put('/f', 'y'))
    const edit = (...edits: TreeEdit[]): Promise<DirectoryEntry> =>
      trees.edit(root, edits, { emptied: 'keep' })
    await expect(edit(put('/a', 'x'))).rejects.toThrow(
      'could not put file at "/a"; a node of type directory is already there',
    )
    const error = await edit(put('/f/g/h', 'x')).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(FileDirectoryConflictError)
    expect(error).toMatchObject({ path: '/f/g/h', obstacle: '/f' })
    await expect(edit(put('/n', 'x'), put('/n/m', 'x'))).rejects.toThrow('not a directory')
    await expect(edit(put('/', 'x'))).rejects.toThrow(FileDirectoryConflictError)
  })

  test('replaces a directory by a file, and a file by a directory, when told to remove first', async () => {
    const root = await treeOf(trees, put('/a/b', 'x'), put('/f', 'y'))
    const edits = [removal('/a'), put('/a', 'z'), removal('/f'), put('/f/g', 'z')]
    const edited = await trees.edit(root, edits, { emptied: 'keep' })
    expect(edited).toEqual(await treeOf(trees, put('/a', 'z'), put('/f/g', 'z')))
  })

  test('removes everything with the root', async () => {
    const root = await treeOf(trees, put('/a/b', 'x'))
    const edited = await trees.edit(root, [removal('/'), put('/c', 'x')], { emptied: 'keep' })
    expect(edited).toEqual(await treeOf(trees, put('/c', 'x')))
  })

  test('stores small roots, but not small directories below them', async () => {
    const chunks = new MemoryChunkStore()
    const own = new FileTrees(chunks)
    const root = await treeOf(own, put('/a/b/c', 'x'))
    const below = await own.get(root, parseFilePath('/a/b'))
    expect(root.inlineNode).toBeUndefined()
    expect(below).toHaveProperty('inlineNode')
    await expect(chunks.get(root.root)).resolves.toBeDefined()
    if (below?.kind !== 'directory') throw new Error('it is a directory')
    await expect(chunks.get(below.root)).rejects.toThrow('missing')
    const { root: id } = await own.asRoot(below)
    await expect(chunks.get(id)).resolves.toEqual(below.inlineNode)
  })
})

describe('listing', () => {
  const trees = new FileTrees(new MemoryChunkStore())

  test('begins behind a name', async () => {
    const root = await treeOf(trees, put('/a', ''), put('/a0', ''), put('/b', ''))
    const listed = await Array.fromAsync(trees.list(root, parseFilePath('/'), { after: 'a' }))
    expect(listed.map(({ name }) => name)).toEqual(['a0', 'b'])
  })

  test('fails where nothing is, and for files', async () => {
    const root = await treeOf(trees, put('/a', ''))
    const list = (path: string): Promise<unknown> =>
      Array.fromAsync(trees.list(root, parseFilePath(path)))
    await expect(list('/p')).rejects.toThrow(NoNodeError)
    await expect(list('/a')).rejects.toThrow(NotADirectoryError)
  })
})

test('a difference of two files is one at their own path', async () => {
  const trees = new FileTrees(new MemoryChunkStore())
  const [before, after] = [fileOf('a'), fileOf('b')]
  const expected = [{ path: '', before, after }]
  expect(await Array.fromAsync(trees.diff(before, after))).toEqual(expected)
  expect(await Array.fromAsync(trees.diff(before, after, { shallow: true }))).toEqual(expected)
  expect(await Array.fromAsync(trees.diff(before, fileOf('a')))).toEqual([])
})

async function large(): Promise<{
  root: DirectoryEntry
  chunks: CountingChunks
  fresh: () => FileTrees
}> {
  const chunks = new CountingChunks(new MemoryChunkStore())
  const fresh = (): FileTrees => new FileTrees(chunks)
  const edits = Array.from({ length: 100_000 }, (_, index) =>
    put(`/data/file-${String(index).padStart(6, '0')}`, 'text'),
  )
  const others = Array.from({ length: 1000 }, (_, index) =>
    put(`/dirs/${String(index).padStart(4, '0')}/file`, 'x'.repeat(100)),
  )
  const root = await treeOf(fresh(), ...edits, ...others)
  chunks.reset()
  return { root, chunks, fresh }
}

describe('the cost', () => {
  test('of ten edits among 100,000 files is a few nodes for each', async () => {
    const { root, chunks, fresh } = await large()
    const edits = Array.from({ length: 10 }, (_, index) => put(`/data/file-0${index}5000`, 'new'))
    await fresh().edit(root, edits, { emptied: 'keep' })
    expect(chunks.readCount).toBeLessThanOrEqual(40)
    expect(chunks.writtenCount).toBeLessThanOrEqual(40)
  })

  test('of finding what one edit changed is a few nodes', async () => {
    const { root, chunks, fresh } = await large()
    const edits = [put('/dirs/0500/more', 'new')]
    const edited = await fresh().edit(root, edits, { emptied: 'keep' })
    chunks.reset()
    const differences = await Array.fromAsync(fresh().diff(root, edited))
    expect(differences.map(({ path }) => path)).toEqual(['/dirs/0500/more'])
    const matches = await Array.fromAsync(fresh().globDiff(root, edited, parseGlob('/dirs/*')))
    expect(matches.map(({ path }) => path)).toEqual(['/dirs/0500'])
    expect(chunks.readCount).toBeLessThanOrEqual(20)
  })

  test('of comparing equal trees is nothing', async () => {
    const { root, chunks, fresh } = await large()
    expect(await Array.fromAsync(fresh().diff(root, root))).toEqual([])
    expect(await Array.fromAsync(fresh().globDiff(root, root, parseGlob('/data/x')))).toEqual([])
    expect(chunks.readCount).toBe(0)
  })

  test('of a glob with names is the path to them', async () => {
    const { root, chunks, fresh } = await large()
    const found = await Array.fromAsync(fresh().glob(root, parseGlob('/data/file-05000?')))
    expect(found).toHaveLength(10)
    expect(chunks.readCount).toBeLessThanOrEqual(8)
  })
})
