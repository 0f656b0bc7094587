import { afterAll, beforeAll, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

async function open(repo: string, branch: string): Promise<string> {
  return (await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch })).id
}

async function finish(repo: string, commit: string): Promise<void> {
  await pachd.pfs.finishCommit({ commit: commitOf(repo, commit) })
}

async function names(repo: string, commit: string, path = '/'): Promise<readonly string[]> {
  const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, commit, path) })
  return fileInfo.map(({ file }) => file?.path ?? '')
}

test('a directory of a finished commit is copied to another repo, and counted', async () => {
  const [from, to] = [await freshRepo(pachd), await freshRepo(pachd)]
  await commitFiles(pachd, { repo: from, branch: 'master' }, { 'd/a': 'one', 'd/e/b': 'three' })
  await open(to, 'master')
  const copied = await pachd.files.copyFile({
    source: fileOf(from, 'master', 'd'),
    destination: fileOf(to, 'master', '/new/place'),
  })
  expect(copied).toMatchObject({ files: 2n, bytes: 8n })
  await finish(to, 'master')
  expect(await getText(pachd, fileOf(to, 'master', '/new/place/e/b'))).toBe('three')
  const [original, copy] = await Promise.all([
    pachd.pfs.inspectFile({ file: fileOf(from, 'master', 'd') }),
    pachd.pfs.inspectFile({ file: fileOf(to, 'master', 'new/place') }),
  ])
  expect(copy.hash).toEqual(original.hash)
})

test('what is at the destination is refused, replaced or appended to', async () => {
  const repo = await freshRepo(pachd)
  await commitFiles(pachd, { repo, branch: 'master' }, { a: 'a', b: 'b', 'd/f': 'f' })
  await open(repo, 'master')
  const copy = (
    source: string,
    path: string,
    more: { overwrite?: boolean; append?: boolean } = {},
  ) =>
    pachd.files.copyFile({
      source: fileOf(repo, 'master', source),
      destination: fileOf(repo, 'master', path),
      ...more,
    })
  await expect(copy('a', 'b')).rejects.toThrow(
    failed(Code.alreadyExists, 'already-exists', '"/b": a file already exists there'),
  )
  await expect(copy('a', 'd')).rejects.toThrow(
    failed(Code.alreadyExists, 'already-exists', '"/d": a directory already exists there'),
  )
  await expect(copy('a', 'b/c', { overwrite: true })).rejects.toThrow(
    failed(Code.failedPrecondition, 'failed-precondition', '"/b", which is not a directory'),
  )
  await expect(copy('d', 'd/e')).rejects.toThrow(
    failed(Code.invalidArgument, 'invalid-argument', 'cannot copy "/d" into itself'),
  )
  await expect(copy('/', '/')).rejects.toThrow(
    failed(Code.invalidArgument, 'invalid-argument', 'cannot copy "/" onto itself'),
  )
  await expect(copy('a', '/', { overwrite: true })).rejects.toThrow(
    failed(Code.invalidArgument, 'invalid-argument', 'cannot put a file at the root'),
  )
  await expect(copy('a', 'x', { overwrite: true, append: true })).rejects.toThrow(
    failed(Code.invalidArgument, 'invalid-argument', 'cannot both be asked for'),
  )
  await copy('a', 'd', { overwrite: true })
  await copy('a', 'b', { append: true })
  await finish(repo, 'master')
  expect(await names(repo, 'master')).toEqual(['/a', '/b', '/d'])
  expect(await getText(pachd, fileOf(repo, 'master', 'b'))).toBe('ba')
})

test('a whole commit is copied, root to root', async () => {
  const [from, to] = [await freshRepo(pachd), await freshRepo(pachd)]
  await commitFiles(pachd, { repo: from, branch: 'master' }, { 'd/a': 'one' })
  await open(to, 'master')
  const request = {
    source: fileOf(from, 'master', '/'),
    destination: fileOf(to, 'master', ''),
  }
  await pachd.files.copyFile(request)
  await expect(pachd.files.copyFile(request)).rejects.toThrow(
    failed(Code.alreadyExists, 'already-exists', '"/": a directory already exists there'),
  )
  await finish(to, 'master')
  const [theirs, ours] = await Promise.all([
    pachd.pfs.inspectCommit({ commit: commitOf(from, 'master') }),
    pachd.pfs.inspectCommit({ commit: commitOf(to, 'master') }),
  ])
  expect(ours.tree).toEqual(theirs.tree)
})

test('a move takes a file away from where it was, also from another open commit', async () => {
  const repo = await freshRepo(pachd)
  await commitFiles(pachd, { repo, branch: 'master' }, { 'd/a': 'a', b: 'b' })
  const first = await open(repo, 'master')
  const second = await open(repo, 'other')
  const moved = await pachd.files.moveFile({
    source: fileOf(repo, first, 'd'),
    destination: fileOf(repo, first, 'e/d'),
  })
  expect(moved).toMatchObject({ files: 1n, bytes: 1n })
  await pachd.files.moveFile({
    source: fileOf(repo, first, 'b'),
    destination: fileOf(repo, second, 'c'),
  })
  await Promise.all([finish(repo, first), finish(repo, second)])
  expect(await names(repo, first)).toEqual(['/e'])
  expect(await getText(pachd, fileOf(repo, first, 'e/d/a'))).toBe('a')
  expect(await getText(pachd, fileOf(repo, second, 'c'))).toBe('b')
})

test('a finished commit neither takes nor gives away, and nothing is staged', async () => {
  const repo = await freshRepo(pachd)
  const finished = await commitFiles(pachd, { repo, branch: 'master' }, { a: 'a' })
  const target = await open(repo, 'master')
  const from = fileOf(repo, finished, 'a')
  await expect(
    pachd.files.moveFile({ source: from, destination: fileOf(repo, target, 'b') }),
  ).rejects.toThrow(failed(Code.failedPrecondition, 'failed-precondition', 'with copy-file'))
  await expect(
    pachd.files.copyFile({ source: from, destination: fileOf(repo, finished, 'b') }),
  ).rejects.toThrow(failed(Code.failedPrecondition, 'failed-precondition', 'is not open'))
  await expect(
    pachd.files.copyFile({
      source: fileOf(repo, target, 'x'),
      destination: fileOf(repo, target, 'b'),
    }),
  ).rejects.toThrow(failed(Code.notFound, 'not-found', 'file /x not found'))
  await expect(pachd.files.copyFile({ source: from })).rejects.toThrow(
    failed(Code.invalidArgument, 'invalid-argument', 'destination.commit.repo.name'),
  )
  await finish(repo, target)
  expect(await names(repo, target)).toEqual(['/a'])
})
