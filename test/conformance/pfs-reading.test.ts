import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DiffFileResponse, type FileInfo, FileType } from '../../src/gen/pfs_pb.ts'
import { freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const files = {
  a: 'hello',
  'd/f': 'in d',
  'd/g': 'also in d',
  'd/e/deep': 'deeper',
  'x1.txt': '1',
  'x2.txt': '22',
  'y[z]': 'odd',
} as const

let pachd: TestPachd
let repo: string
let id: string
beforeAll(async () => {
  pachd = await TestPachd.start()
  repo = await freshRepo(pachd)
  id = await commitFiles(pachd, { repo, branch: 'master' }, files)
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

const pathsOf = (infos: readonly FileInfo[]): readonly (string | undefined)[] =>
  infos.map(({ file }) => file?.path)

type Paths = readonly (string | undefined)[]

function sides({ newFiles, oldFiles }: DiffFileResponse): {
  readonly new: Paths
  readonly old: Paths
} {
  return { new: pathsOf(newFiles), old: pathsOf(oldFiles) }
}

async function glob(pattern: string): Promise<readonly (string | undefined)[]> {
  const { fileInfo } = await pachd.pfs.globFile({ commit: commitOf(repo, 'master'), pattern })
  return pathsOf(fileInfo)
}

describe('get-file', () => {
  test.each([
    [{}, 'hello'],
    [{ offset: 1 }, 'ello'],
    [{ size: 2 }, 'he'],
    [{ offset: 1, size: 3 }, 'ell'],
    [{ offset: 3, size: 100 }, 'lo'],
    [{ offset: 5 }, ''],
    [{ offset: 500 }, ''],
  ] as const)('%j of hello is %j', async (range, text) => {
    expect(await getText(pachd, fileOf(repo, 'master', 'a'), range)).toBe(text)
  })

  test('a missing file is not found, in a sentence that says where', async () => {
    await expect(getText(pachd, fileOf(repo, 'master', 'none'))).rejects.toEqual(
      refused('not-found', `file /none not found in repo ${repo} at commit ${id}`),
    )
  })

  test('a directory is a directory', async () => {
    await expect(getText(pachd, fileOf(repo, 'master', '/d'))).rejects.toEqual(
      refused('failed-precondition', '/d is a directory'),
    )
  })
})

describe('inspect-file', () => {
  test.each(['a', '/a', './a', '/d/../a'])('the path is as requested: %s', async (path) => {
    const info = await pachd.pfs.inspectFile({ file: fileOf(repo, id, path) })
    expect(info.file).toMatchObject({ path, commit: { id, repo: { name: repo } } })
  })

  test('a file has a size, a hash, and one object whose name begins with it', async () => {
    const info = await pachd.pfs.inspectFile({ file: fileOf(repo, id, 'a') })
    expect(info).toMatchObject({ fileType: FileType.FILE, sizeBytes: 5n, children: [] })
    expect(info.hash).toHaveLength(32)
    expect(info.objects).toHaveLength(1)
    expect(info.objects[0]?.hash).toMatch(new RegExp(`^${Buffer.from(info.hash).toString('hex')}`))
  })

  test('a directory has the size of all below, a hash and its children by name', async () => {
    const info = await pachd.pfs.inspectFile({ file: fileOf(repo, id, 'd') })
    expect(info).toMatchObject({ fileType: FileType.DIR, sizeBytes: 19n, objects: [] })
    expect(info.children).toEqual(['e', 'f', 'g'])
    expect(info.hash).toHaveLength(32)
  })

  test.each(['', '/'])('the root is a directory: %j', async (path) => {
    const info = await pachd.pfs.inspectFile({ file: fileOf(repo, id, path) })
    expect(info).toMatchObject({ fileType: FileType.DIR, file: { path } })
    expect(info.children).toEqual(['a', 'd', 'x1.txt', 'x2.txt', 'y[z]'])
  })

  test('equal contents have equal hashes, however they were put', async () => {
    const other = await freshRepo(pachd)
    const { id: open } = await pachd.pfs.startCommit({ parent: commitOf(other, '') })
    for (const part of ['he', 'l', 'lo']) await putFile(pachd, fileOf(other, open, 'b'), part)
    const here = await pachd.pfs.inspectFile({ file: fileOf(repo, id, 'a') })
    const there = await pachd.pfs.inspectFile({ file: fileOf(other, open, 'b') })
    expect(Buffer.from(there.hash)).toEqual(Buffer.from(here.hash))
  })

  test('a missing path is not found', async () => {
    const call = pachd.pfs.inspectFile({ file: fileOf(repo, id, 'd/none') })
    await expect(call).rejects.toEqual(refused('not-found', 'not found'))
  })
})

describe('list-file', () => {
  test.each([
    ['', ['a', 'd', 'x1.txt', 'x2.txt', 'y[z]']],
    ['/', ['/a', '/d', '/x1.txt', '/x2.txt', '/y[z]']],
    ['d', ['d/e', 'd/f', 'd/g']],
    ['/d/', ['/d/e', '/d/f', '/d/g']],
    ['./d//e/..', ['d/e', 'd/f', 'd/g']],
  ])('list %j says the paths as they were asked for', async (path, paths) => {
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, 'master', path) })
    expect(pathsOf(fileInfo)).toEqual(paths)
  })

  test('entries have type, size and hash, and neither objects nor children', async () => {
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '') })
    expect(fileInfo[0]).toMatchObject({ fileType: FileType.FILE, sizeBytes: 5n })
    expect(fileInfo[1]).toMatchObject({ fileType: FileType.DIR, sizeBytes: 19n })
    for (const info of fileInfo) {
      expect(info.hash).toHaveLength(32)
      expect([...info.children, ...info.objects]).toEqual([])
      expect(info.file?.commit).toMatchObject({ id, repo: { name: repo } })
    }
  })

  test('of a missing path: no node; of a file: not a directory', async () => {
    const ofNothing = pachd.pfs.listFile({ file: fileOf(repo, id, '/none') })
    await expect(ofNothing).rejects.toEqual(refused('not-found', 'no node at "/none"'))
    const ofFile = pachd.pfs.listFile({ file: fileOf(repo, id, '/a') })
    await expect(ofFile).rejects.toEqual(
      refused('failed-precondition', 'the file at "/a" is not a directory'),
    )
  })
})

describe('glob-file', () => {
  test.each([
    ['*', ['/a', '/d', '/x1.txt', '/x2.txt', '/y[z]']],
    ['/*', ['/a', '/d', '/x1.txt', '/x2.txt', '/y[z]']],
    ['/', ['']],
    ['', ['']],
    ['**', ['/a', '/d', '/x1.txt', '/x2.txt', '/y[z]']],
    ['/*/*', ['/d/e', '/d/f', '/d/g']],
    ['d', ['/d']],
    ['d/', ['/d']],
    ['./d//../x?.txt', ['/x1.txt', '/x2.txt']],
    ['/x[0-1].txt', ['/x1.txt']],
    ['/x[^1].txt', ['/x2.txt']],
    ['/y\\[z\\]', ['/y[z]']],
    ['/{a,d}', []],
    ['/*.txt', ['/x1.txt', '/x2.txt']],
    ['/d/e/d*p', ['/d/e/deep']],
    ['/none/*', []],
  ])('%j', async (pattern, paths) => {
    expect(await glob(pattern)).toEqual(paths)
  })

  test.each(['[', '/a[', '\\', '/[]a]', '/x[b-]', '/none/['])(
    'the malformed %j is always said to be so',
    async (pattern) => {
      await expect(glob(pattern)).rejects.toEqual(refused('invalid-argument', 'is malformed'))
    },
  )
})

describe('reading an open commit', () => {
  test('it shows all writes so far, deletes of directories included', async () => {
    const other = await freshRepo(pachd)
    await commitFiles(
      pachd,
      { repo: other, branch: 'master' },
      { 'd/f': 'old', 'd/g': 'g', h: 'h' },
    )
    const { id: open } = await pachd.pfs.startCommit({
      parent: commitOf(other, ''),
      branch: 'master',
    })
    await pachd.pfs.deleteFile({ file: fileOf(other, open, 'd') })
    await expect(getText(pachd, fileOf(other, open, 'd/f'))).rejects.toEqual(
      refused('not-found', 'not found'),
    )
    await putFile(pachd, fileOf(other, open, 'd/f'), 'new')
    expect(await getText(pachd, fileOf(other, open, 'd/f'))).toBe('new')
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(other, open, 'd') })
    expect(pathsOf(fileInfo)).toEqual(['d/f'])
    const found = await pachd.pfs.globFile({ commit: commitOf(other, open), pattern: '/*' })
    expect(pathsOf(found.fileInfo)).toEqual(['/d', '/h'])
  })
})

describe('diff-file', () => {
  let other: string
  let before: string
  let after: string
  beforeAll(async () => {
    other = await freshRepo(pachd)
    before = await commitFiles(
      pachd,
      { repo: other, branch: 'master' },
      { same: '1', changed: '2', 'd/gone': '3', 'd/stays': '4' },
    )
    const { id: open } = await pachd.pfs.startCommit({
      parent: commitOf(other, ''),
      branch: 'master',
    })
    await putFile(pachd, fileOf(other, open, 'changed'), 'more')
    await putFile(pachd, fileOf(other, open, 'n/new'), '5')
    await pachd.pfs.deleteFile({ file: fileOf(other, open, 'd/gone') })
    await pachd.pfs.finishCommit({ commit: commitOf(other, open) })
    after = open
  })

  test('against the parent: files only, the changed ones on both sides', async () => {
    const answer = await pachd.pfs.diffFile({ newFile: fileOf(other, 'master', '/') })
    expect(sides(answer)).toEqual({ new: ['/changed', '/n/new'], old: ['/changed', '/d/gone'] })
    expect(answer.newFiles[0]).toMatchObject({ sizeBytes: 5n, file: { commit: { id: after } } })
    expect(answer.oldFiles[0]).toMatchObject({ sizeBytes: 1n, file: { commit: { id: before } } })
  })

  test('shallow: one level, directories as such', async () => {
    const answer = await pachd.pfs.diffFile({ newFile: fileOf(other, after, ''), shallow: true })
    expect(sides(answer)).toEqual({ new: ['changed', 'd', 'n'], old: ['changed', 'd'] })
  })

  test('against a given path, also of another commit; a missing one counts as empty', async () => {
    const below = await pachd.pfs.diffFile({
      newFile: fileOf(other, after, '/d'),
      oldFile: fileOf(other, before, '/d'),
    })
    expect(sides(below)).toEqual({ new: [], old: ['/d/gone'] })
    const toNothing = await pachd.pfs.diffFile({
      newFile: fileOf(other, after, 'd'),
      oldFile: fileOf(other, after, '/none'),
    })
    expect(sides(toNothing)).toEqual({ new: ['d/stays'], old: [] })
  })

  test('of a single file, and of a commit without a parent', async () => {
    const file = await pachd.pfs.diffFile({ newFile: fileOf(other, after, 'changed') })
    expect(sides(file)).toEqual({ new: ['changed'], old: ['changed'] })
    const first = await pachd.pfs.diffFile({ newFile: fileOf(other, before, 'd') })
    expect(sides(first)).toEqual({ new: ['d/gone', 'd/stays'], old: [] })
  })
})

describe('lists of any length, in batches', () => {
  test('list and glob say what the calls of 1.5 say', async () => {
    const listed = await collect(pachd.files.listFiles({ file: fileOf(repo, 'master', '/') }))
    const one = await pachd.pfs.listFile({ file: fileOf(repo, 'master', '/') })
    expect(listed.flatMap(({ fileInfo }) => fileInfo)).toEqual(one.fileInfo)
    const request = { commit: commitOf(repo, 'master'), pattern: '/*/*' }
    const globbed = await collect(pachd.files.globFiles(request))
    expect(globbed.flatMap(({ fileInfo }) => fileInfo)).toEqual(
      (await pachd.pfs.globFile(request)).fileInfo,
    )
  })

  test('a list that no single message holds is refused with advice, and streams', async () => {
    const big = await freshRepo(pachd)
    const { id: open } = await pachd.pfs.startCommit({ parent: commitOf(big, ''), branch: 'b' })
    const count = 22_000
    async function* requests() {
      await Promise.resolve()
      for (let start = 0; start < count; start += 1000) {
        yield {
          commit: commitOf(big, open),
          parts: Array.from({ length: 1000 }, (_, index) => ({
            path: `${'n'.repeat(1000)}${String(start + index).padStart(6, '0')}`,
          })),
        }
      }
    }
    const put = await pachd.files.putFiles(requests())
    expect(put).toMatchObject({ files: BigInt(count), bytes: 0n })
    const calls = [
      ['list', pachd.pfs.listFile({ file: fileOf(big, open, '/') })],
      ['glob', pachd.pfs.globFile({ commit: commitOf(big, open), pattern: '*' })],
      ['diff', pachd.pfs.diffFile({ newFile: fileOf(big, open, '/') })],
      ['list', pachd.pfs.inspectFile({ file: fileOf(big, open, '/') })],
    ] as const
    await Promise.allSettled(calls.map(([, call]) => call))
    for (const [verb, call] of calls) {
      const advice = new RegExp(`pachctl ${verb}-file .* pachyderm\\.Files/${verb}Files`, 'i')
      await expect(call).rejects.toEqual(refused('resource-exhausted', advice))
    }
    const batches = await collect(pachd.files.listFiles({ file: fileOf(big, open, '/') }))
    expect(batches.reduce((sum, { fileInfo }) => sum + fileInfo.length, 0)).toBe(count)
    expect(batches.every(({ fileInfo }) => fileInfo.length > 0)).toBe(true)
  })
})
