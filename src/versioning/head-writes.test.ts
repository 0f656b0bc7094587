import { afterAll, beforeAll, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { PermissionDeniedError } from '../base/errors.ts'
import { parseFilePath } from '../base/paths.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { FileDirectoryConflictError } from '../storage/tree-errors.ts'
import { BranchNotFoundError } from './errors.ts'
import type { HeadChange } from './head-writes.ts'

let world: TestVersioning
beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

let count = 0
/** A repo whose branch `master` has an empty head, finished or open. */
async function freshRepo(isOpen = false): Promise<string> {
  const { repos, commits } = world.versioning
  count += 1
  const repo = `r${count}`
  await repos.create({ name: repo })
  const { id } = await commits.start({ repo, branch: 'master' })
  if (!isOpen) await commits.finish(repo, id)
  return repo
}

async function put(path: string, text: string): Promise<HeadChange> {
  const content = await world.ports.contents.writeBytes(utf8(text))
  return { kind: 'put', path: parseFilePath(path), content }
}

function deletion(path: string, what: 'file' | 'empty-directory' = 'file'): HeadChange {
  return { kind: 'delete', path: parseFilePath(path), what }
}

async function commitCount(repo: string): Promise<number> {
  let found = 0
  for await (const _ of world.versioning.commits.list({ repo })) found += 1
  return found
}

test('a put is a finished commit, which the branch shows and jobs hear of', async () => {
  const repo = await freshRepo()
  const { headWrites, commits } = world.versioning
  const before = world.ready.length
  const { commit, isOpen } = await headWrites.write(repo, 'master', [await put('d/a', 'text')])
  expect(isOpen).toBe(false)
  const head = await commits.inspect(repo, 'master')
  expect(head).toMatchObject({ id: commit, state: { kind: 'finished' }, message: 'put /d/a' })
  expect(world.ready.slice(before)).toEqual([{ repo, branch: 'master', id: commit }])
  expect(await world.read(repo, 'master', 'd/a')).toBe('text')
  expect((await world.versioning.repos.inspect(repo)).sizeBytes).toBe(4)
})

test('a change that changes nothing makes no commit', async () => {
  const repo = await freshRepo()
  const { headWrites } = world.versioning
  const { commit } = await headWrites.write(repo, 'master', [await put('a', 'text')])
  expect((await headWrites.write(repo, 'master', [await put('a', 'text')])).commit).toBe(commit)
  expect((await headWrites.write(repo, 'master', [deletion('none')])).commit).toBe(commit)
  expect(await commitCount(repo)).toBe(2)
})

test('puts that come together share commits, all of them are there, and the last of one path wins', async () => {
  const repo = await freshRepo()
  const { headWrites } = world.versioning
  const changes = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => put(`f${index % 190}`, `${index}`)),
  )
  await Promise.all(changes.map(async (change) => headWrites.write(repo, 'master', [change])))
  expect(await world.paths(repo, 'master')).toHaveLength(190)
  expect(await world.read(repo, 'master', 'f3')).toBe('193')
  expect(await commitCount(repo)).toBeLessThan(10)
})

test('one that fails takes no other along', async () => {
  for (const isOpen of [false, true]) {
    const repo = await freshRepo(isOpen)
    const { headWrites } = world.versioning
    await headWrites.write(repo, 'master', [await put('d/a', 'x')])
    const refuses = await put('r', 'x')
    const ends = await Promise.allSettled([
      headWrites.write(repo, 'master', [await put('first', '1')]),
      headWrites.write(repo, 'master', [await put('d', 'a directory is there')]),
      headWrites.write(repo, 'master', [await put('d/a/b', 'a file is there')]),
      headWrites.write(repo, 'master', [
        {
          ...refuses,
          kind: 'put',
          content: { kind: 'inline', bytes: utf8('') },
          requires: () => {
            throw new RangeError('not wanted')
          },
        },
      ]),
      headWrites.write(repo, 'master', [await put('last', '2')]),
    ])
    expect(ends.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
      'fulfilled',
    ])
    const reasons = ends.map((end) => (end.status === 'rejected' ? end.reason : undefined))
    expect(reasons[1]).toBeInstanceOf(FileDirectoryConflictError)
    expect(reasons[2]).toBeInstanceOf(FileDirectoryConflictError)
    expect(reasons[3]).toBeInstanceOf(RangeError)
    expect(await world.paths(repo, 'master')).toEqual(['/d/a', '/first', '/last'])
  }
})

test('an open head takes changes and stays open', async () => {
  const repo = await freshRepo(true)
  const { headWrites, commits } = world.versioning
  await headWrites.write(repo, 'master', [await put('a', '1'), await put('b', '2')])
  await headWrites.write(repo, 'master', [await put('a', '3'), deletion('b')])
  const written = await headWrites.write(repo, 'master', [
    { kind: 'make-directory', path: parseFilePath('e') },
  ])
  expect(written).toEqual({ commit: (await commits.inspect(repo, 'master')).id, isOpen: true })
  expect(await world.paths(repo, 'master')).toEqual(['/a'])
  expect(await world.read(repo, 'master', 'a')).toBe('3')
  await commits.finish(repo, 'master')
  const { entry } = await world.versioning.files.inspect({ repo, commit: 'master', path: 'e' })
  expect(entry.kind).toBe('directory')
  expect(await commitCount(repo)).toBe(1)
})

test('deletions delete what they say only, and an emptied directory goes', async () => {
  const repo = await freshRepo()
  const { headWrites, files } = world.versioning
  const write = async (...changes: HeadChange[]) => headWrites.write(repo, 'master', changes)
  await write(await put('d/a', '1'), { kind: 'make-directory', path: parseFilePath('e') })
  await write(deletion('d'), deletion('e'), deletion('d/a', 'empty-directory'))
  await write(deletion('d', 'empty-directory'))
  expect(await world.paths(repo, 'master')).toEqual(['/d/a'])
  await files.inspect({ repo, commit: 'master', path: 'e' })
  await write(deletion('d/a'), deletion('e', 'empty-directory'))
  for (const path of ['d', 'e']) {
    await expect(files.inspect({ repo, commit: 'master', path })).rejects.toThrow('not found')
  }
})

test('no branch, and one that a pipeline writes, take nothing', async () => {
  const repo = await freshRepo()
  const { headWrites } = world.versioning
  const change = await put('a', '1')
  await expect(headWrites.write(repo, 'none', [change])).rejects.toThrow(BranchNotFoundError)
  world.uses.written.add(`${repo}/master`)
  const refused = headWrites.write(repo, 'master', [change])
  await expect(refused).rejects.toThrow(PermissionDeniedError)
  await expect(refused).rejects.toThrow(`written by pipeline ${repo}`)
})

test('a branch that others keep moving gets what is put on top', async () => {
  const repo = await freshRepo()
  const { headWrites, commits } = world.versioning
  const others = async (): Promise<void> => {
    for (let index = 0; index < 10; index += 1) {
      const { id } = await commits.start({ repo, branch: 'master' })
      await world.versioning.writes.put({ repo, commit: id, path: `o${index}` }, utf8('o'))
      await commits.finish(repo, id)
    }
  }
  const own = async (): Promise<void> => {
    for (let index = 0; index < 10; index += 1) {
      await headWrites.write(repo, 'master', [await put(`p${index}`, 'p')])
    }
  }
  await Promise.all([own(), others().catch(() => undefined)])
  const paths = await world.paths(repo, 'master')
  expect(paths.filter((path) => path.startsWith('/p'))).toHaveLength(10)
})
