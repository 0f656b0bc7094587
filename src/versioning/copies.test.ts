import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { parseFilePath } from '../base/paths.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { CountingChunks } from '../testing/counting-chunks.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import type { FileName } from './files.ts'
import { encodeStaged, type StagedWrite } from './staging/staged-rows.ts'
import { stageWrites } from './staging/stage.ts'

function at(commit: string, path: string, repo = 'r'): FileName {
  return { repo, commit, path }
}

/** A repo `r` with an open commit on `master` that holds `files`. */
async function openRepo(world: TestVersioning, files: Readonly<Record<string, string>>) {
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'master' })
  for (const [path, text] of Object.entries(files)) {
    await writes.put(at('master', path), utf8(text))
  }
}

test('a directory of another repo is copied by one small row, whatever is in it', async () => {
  const chunks = new CountingChunks(new MemoryChunkStore())
  await using world = await openTestVersioning(chunks)
  const { commits, copies, repos, writes } = world.versioning
  await openRepo(world, {})
  await using bulk = await writes.bulk('r', 'master')
  const count = 5000
  for (let index = 0; index < count; index += 1) await bulk.put(`d/${index}`, utf8('x'.repeat(90)))
  await bulk.commit()
  await commits.finish('r', 'master')
  await repos.create({ name: 'other' })
  await commits.start({ repo: 'other', branch: 'master' })
  chunks.reset()
  const copied = await copies.copy(at('master', '/d'), at('master', 'deep/down', 'other'), {
    mode: 'refuse',
  })
  expect(copied).toEqual({ fileCount: count, sizeBytes: count * 90 })
  expect(chunks.readCount + chunks.writtenCount).toBeLessThan(12)
  const rows = await world.database.read((tx) =>
    tx.all<{ readonly payload: Uint8Array }>('SELECT payload FROM staged_writes'),
  )
  expect(rows.map(({ payload }) => payload.length)).toEqual([40])
  await commits.finish('other', 'master')
  expect(await world.paths('other', 'master')).toHaveLength(count)
  expect(await world.read('other', 'master', '/deep/down/77')).toBe('x'.repeat(90))
})

test('a copy of an open commit is of what it held then', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { 'd/f': 'one' })
  const { commits, copies, writes } = world.versioning
  await copies.copy(at('master', 'd'), at('master', 'e'), { mode: 'refuse' })
  await writes.put(at('master', 'd/f'), utf8(' two'))
  await commits.finish('r', 'master')
  expect(await world.read('r', 'master', 'e/f')).toBe('one')
  expect(await world.read('r', 'master', 'd/f')).toBe('one two')
})

test('appending goes on with the content of a file, and takes no directory', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { a: 'one', b: ' two', 'd/f': '' })
  const { commits, copies } = world.versioning
  const mode = 'append'
  await copies.copy(at('master', 'b'), at('master', 'a'), { mode })
  await copies.copy(at('master', 'b'), at('master', 'new'), { mode })
  await expect(copies.copy(at('master', 'd'), at('master', 'a'), { mode })).rejects.toThrow(
    '/d is a directory',
  )
  await expect(copies.copy(at('master', 'a'), at('master', 'd'), { mode })).rejects.toThrow(
    'a node of type directory is already there',
  )
  await commits.finish('r', 'master')
  expect(await world.read('r', 'master', 'a')).toBe('one two')
  expect(await world.read('r', 'master', 'new')).toBe(' two')
})

test('a copy whose place was taken after it was looked at is a conflict until it is repaired', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { 'd/f': 'inside', g: 'first' })
  const { commits, files, writes } = world.versioning
  const { entry } = await files.inspect(at('master', 'd'))
  const root = entry.kind === 'directory' ? await world.ports.trees.asRoot(entry) : entry
  await stage(world, { kind: 'graft', path: parseFilePath('g'), overwrite: false, entry: root })
  await expect(commits.finish('r', 'master')).rejects.toThrow(
    'cannot write to "/g": a file already exists there',
  )
  await writes.delete(at('master', 'g'))
  await commits.finish('r', 'master')
  expect(await world.paths('r', 'master')).toEqual(['/d/f'])
})

test('a move of what was deleted meanwhile does nothing', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { kept: 'here' })
  const [path, from] = [parseFilePath('kept'), parseFilePath('gone')]
  await stage(world, { kind: 'move', path, overwrite: true, from })
  await world.versioning.commits.finish('r', 'master')
  expect(await world.paths('r', 'master')).toEqual(['/kept'])
})

test('a directory takes the place of the one that it is in, with all it has', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { 'a/a/a': 'deep', 'a/b': 'goes' })
  const { commits, copies } = world.versioning
  await copies.move(at('master', 'a/a'), at('master', 'a'), { overwrite: true })
  await commits.finish('r', 'master')
  expect(await world.paths('r', 'master')).toEqual(['/a/a'])
})

async function stage(world: TestVersioning, write: StagedWrite): Promise<void> {
  const target = { repo: 'r', name: 'master', call: 'put', columns: encodeStaged(write) } as const
  await stageWrites(world.ports, [target], undefined)
}

test('what is put while a directory moves between commits is in one of them', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { 'd/0': '0' })
  const { commits, copies, writes } = world.versioning
  await commits.start({ repo: 'r', branch: 'to' })
  const puts = Array.from({ length: 30 }, async (_, index) =>
    writes.put(at('master', `d/${index + 1}`), utf8(String(index + 1))),
  )
  await copies.move(at('master', 'd'), at('to', 'moved'), { overwrite: false })
  await Promise.all(puts)
  await Promise.all([commits.finish('r', 'master'), commits.finish('r', 'to')])
  const left = (await world.paths('r', 'master')).map((path) => path.slice('/d/'.length))
  const moved = (await world.paths('r', 'to')).map((path) => path.slice('/moved/'.length))
  expect(moved).toContain('0')
  const all = [...left, ...moved].toSorted((one, other) => Number(one) - Number(other))
  expect(all).toEqual(Array.from({ length: 31 }, (_, index) => String(index)))
})

test('a finished commit gives nothing away, and refusals change nothing', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { f: 'text' })
  const { commits, copies } = world.versioning
  await commits.finish('r', 'master')
  await commits.start({ repo: 'r', branch: 'dev', parent: 'master' })
  const moved = copies.move(at('master', 'f'), at('dev', 'g'), { overwrite: false })
  await expect(moved).rejects.toThrow(/cannot move files out of commit r\/\w+: .* copy-file/)
  const copied = copies.copy(at('dev', 'f'), at('master', 'g'), { mode: 'refuse' })
  await expect(copied).rejects.toThrow('is not open')
  const missing = copies.copy(at('dev', 'none'), at('dev', 'g'), { mode: 'refuse' })
  await expect(missing).rejects.toThrow('file /none not found')
  expect(await world.database.read((tx) => tx.all('SELECT id FROM staged_writes'))).toEqual([])
})

test('copies of copies are refused before their sizes can no longer be counted', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { 'd/f': 'x'.repeat(1000) })
  const { copies, files } = world.versioning
  const double = async (): Promise<never> => {
    for (let count = 0; ; count += 1) {
      await copies.copy(at('master', '/'), at('master', `/${count}`), { mode: 'refuse' })
    }
  }
  await expect(double()).rejects.toThrow('cannot copy "/" into itself')
  const grow = async (): Promise<never> => {
    for (let count = 0; ; count += 1) {
      await copies.copy(at('master', '/d'), at('master', `/e/${count}`), { mode: 'refuse' })
      await copies.copy(at('master', '/d'), at('master', `/e/x${count}`), { mode: 'refuse' })
      await copies.move(at('master', '/e'), at('master', '/d'), { overwrite: true })
    }
  }
  await expect(grow()).rejects.toThrow('would hold more than 2^50')
  const { tree } = await files.tree('r', 'master')
  expect(tree.sizeBytes).toBeLessThanOrEqual(2 ** 50)
})

test('what a copy refers to is a root of the collection', async () => {
  await using world = await openTestVersioning()
  await openRepo(world, { 'd/f': 'x'.repeat(300), g: 'y'.repeat(300) })
  const { copies, files } = world.versioning
  await copies.copy(at('master', 'd'), at('master', 'e'), { mode: 'refuse' })
  await copies.copy(at('master', 'g'), at('master', 'h'), { mode: 'refuse' })
  const { entry } = await files.inspect(at('master', 'e'))
  const file = (await files.inspect(at('master', 'h'))).entry
  if (entry.kind !== 'directory' || file.kind !== 'file') throw new Error('copied as they were')
  const roots = await Array.fromAsync(world.versioning.collectionRoots())
  expect(roots).toContainEqual({ kind: 'tree', root: entry.root })
  expect(roots).toContainEqual({ kind: 'content', content: file.content })
})
