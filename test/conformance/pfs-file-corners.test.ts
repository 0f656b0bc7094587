import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DiffFileResponse, FileType } from '../../src/gen/pfs_pb.ts'
import { freshRepo, refused } from '../harness/expectations.ts'
import { commitFiles, commitOf, fileOf, getPieces, getText, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

interface Open {
  readonly repo: string
  readonly id: string
}

/** An open commit on `master`, with what a parent has, if anything. */
async function openCommit(parentFiles?: Readonly<Record<string, string>>): Promise<Open> {
  const repo = await freshRepo(pachd)
  if (parentFiles !== undefined) await commitFiles(pachd, { repo, branch: 'master' }, parentFiles)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  return { repo, id }
}

const put = async (
  { repo, id }: Open,
  path: string,
  text: string,
  overwrite = false,
): Promise<void> => putFile(pachd, fileOf(repo, id, path), text, { overwrite })

const remove = async ({ repo, id }: Open, path: string): Promise<unknown> =>
  pachd.pfs.deleteFile({ file: fileOf(repo, id, path) })

const finish = async ({ repo, id }: Open): Promise<unknown> =>
  pachd.pfs.finishCommit({ commit: commitOf(repo, id) })

/** Every file and directory to a depth of three, with the text of files. */
async function contents({ repo, id }: Open): Promise<Readonly<Record<string, string | null>>> {
  const found: Record<string, string | null> = {}
  for (const pattern of ['/*', '/*/*', '/*/*/*']) {
    const { fileInfo } = await pachd.pfs.globFile({ commit: commitOf(repo, id), pattern })
    for (const { file, fileType } of fileInfo) {
      const path = file?.path ?? ''
      found[path] = fileType === FileType.DIR ? null : await getText(pachd, fileOf(repo, id, path))
    }
  }
  return found
}

/** What is there before and after the commit finishes. */
async function overFinish(open: Open): Promise<unknown> {
  const before = await contents(open)
  await finish(open)
  return [before, await contents(open)]
}

function twice(expected: Readonly<Record<string, string | null>>): unknown {
  return [expected, expected]
}

describe('delete-file', () => {
  test.each(['', '/', '.', '//', 'a/..'])(
    '%j is everything, and later puts start afresh',
    async (path) => {
      const open = await openCommit({ a: '1', 'd/e': '2' })
      await put(open, 'new', 'lost')
      await remove(open, path)
      expect(await contents(open)).toEqual({})
      await put(open, 'd/e', 'kept')
      expect(await overFinish(open)).toEqual(twice({ '/d': null, '/d/e': 'kept' }))
    },
  )

  test('below a file, and a name that only begins like one: nothing happens', async () => {
    const open = await openCommit({ a: '1', 'dir/f': '2' })
    for (const path of ['a/below', 'dir/f/below', 'di', 'dir/', 'dir/f2']) {
      if (path !== 'dir/') await remove(open, path)
    }
    expect(await overFinish(open)).toEqual(twice({ '/a': '1', '/dir': null, '/dir/f': '2' }))
  })

  test('a file makes room for a directory, and a directory for a file', async () => {
    const open = await openCommit({ f: 'file', 'd/x': 'below' })
    for (const path of ['f', 'd']) await remove(open, path)
    await put(open, 'f/x', 'below')
    await put(open, 'd', 'file')
    expect(await overFinish(open)).toEqual(twice({ '/d': 'file', '/f': null, '/f/x': 'below' }))
  })

  test('puts of one commit that are deleted leave their directories, as those of parents do', async () => {
    const open = await openCommit({ 'old/f': '1' })
    await put(open, 'new/f', '2')
    for (const path of ['old/f', 'new/f']) await remove(open, path)
    expect(await overFinish(open)).toEqual(twice({ '/new': null, '/old': null }))
  })
})

describe('put-file', () => {
  test.each([
    ['d', 'could not put file at "/d"; a node of type directory is already there'],
    ['d/', 'could not put file at "/d"; a node of type directory is already there'],
    ['f/x', 'attempted to visit "/f", which is not a directory'],
    ['f/x/y', 'not a directory'],
  ])(
    'onto %s, which the parent has otherwise: the text of 1.5, also with overwrite',
    async (path, text) => {
      for (const overwrite of [false, true]) {
        const open = await openCommit({ f: 'file', 'd/x': 'below' })
        await put(open, path, 'new', overwrite)
        await expect(finish(open)).rejects.toEqual(refused('failed-precondition', text))
        expect(await contents(open)).toEqual({ '/d': null, '/d/x': 'below', '/f': 'file' })
        await remove(open, path)
        await finish(open)
      }
    },
  )

  test.each(['../x', '/../x', 'a/../../x', '..'])(
    '%s leads out, and writes nothing',
    async (path) => {
      const open = await openCommit({ a: '1' })
      await expect(put(open, path, 'lost')).rejects.toEqual(
        refused('invalid-argument', 'leads out'),
      )
      expect(await overFinish(open)).toEqual(twice({ '/a': '1' }))
    },
  )

  test('names that mean something elsewhere are names here', async () => {
    const names = [
      '...',
      ' ',
      '\\',
      '~',
      '%2e%2e',
      'a\nb',
      '*',
      '[',
      '-',
      '\u202e',
      'é',
      'e\u0301',
      'A',
      'a',
    ]
    const open = await openCommit()
    for (const name of names) await put(open, `x/${name}`, name)
    await finish(open)
    const file = fileOf(open.repo, open.id, 'x')
    const { children } = await pachd.pfs.inspectFile({ file })
    const inByteOrder = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    expect(children).toEqual(inByteOrder)
    for (const name of names) {
      expect(await getText(pachd, fileOf(open.repo, open.id, `/x/${name}`))).toBe(name)
    }
  })

  test('an overwrite replaces what is inherited and what was put, and an empty put appends nothing', async () => {
    const open = await openCommit({ a: 'old', b: 'kept ' })
    await put(open, 'a', 'lost')
    await put(open, 'a', '', true)
    await put(open, 'b', '')
    await put(open, 'b', 'more')
    expect(await overFinish(open)).toEqual(twice({ '/a': '', '/b': 'kept more' }))
  })
})

describe('get-file', () => {
  const text = Array.from({ length: 500_000 }, (_, index) => `${index} `).join('')

  const ranges = [
    [0, 1],
    [1, 0],
    [2_000_000, 1_000_000],
    [text.length - 1, 0],
    [text.length - 1, 2 ** 40],
    [text.length, 0],
    [text.length, 5],
    [2 ** 40, 0],
    [2 ** 40, 2 ** 40],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ] as const

  test.each(['open', 'finished'])('any part of a file of many chunks, %s', async (state) => {
    const open = await openCommit({ f: text.slice(0, 3_000_000) })
    await put(open, 'f', text.slice(3_000_000))
    if (state === 'finished') await finish(open)
    for (const [offset, size] of ranges) {
      const pieces = await getPieces(pachd, fileOf(open.repo, open.id, 'f'), { offset, size })
      const expected = Buffer.from(text.slice(offset, size === 0 ? undefined : offset + size))
      expect([offset, size, Buffer.concat(pieces).equals(expected)]).toEqual([offset, size, true])
    }
  })

  test('a file of an open commit is missing in the words of a finished one', async () => {
    const { repo, id } = await openCommit()
    await expect(getText(pachd, fileOf(repo, 'master', '/none'))).rejects.toEqual(
      refused('not-found', `file /none not found in repo ${repo} at commit ${id}`),
    )
    await expect(getText(pachd, fileOf(repo, id, ''))).rejects.toEqual(
      refused('failed-precondition', 'is a directory'),
    )
  })
})

describe('glob-file', () => {
  const names = ['a', 'ab', 'b', 'ж', 'жж', '😀', 'a-b', 'a]b', 'a^b', 'a\\b', '{x,y}', 'x']
  let open: Open
  beforeAll(async () => {
    open = await openCommit()
    for (const name of names) await put(open, name, name)
    for (const path of ['d/a', 'd/e/a', 'd/e/b']) await put(open, path, path)
  })

  test.each([
    ['?', ['a', 'b', 'd', 'x', 'ж', '😀']],
    ['??', ['ab', 'жж']],
    ['[а-я]', ['ж']],
    ['[😀]', ['😀']],
    ['[^a-z]', ['ж', '😀']],
    ['a[\\-]b', ['a-b']],
    ['a[\\]]b', ['a]b']],
    ['a[\\^]b', ['a^b']],
    ['a[^b]b', ['a-b', 'a\\b', 'a]b', 'a^b']],
    ['a\\\\b', ['a\\b']],
    ['{x,y}', ['{x,y}']],
    ['*b', ['a-b', 'a\\b', 'a]b', 'a^b', 'ab', 'b']],
    ['a*', ['a', 'a-b', 'a\\b', 'a]b', 'a^b', 'ab']],
    ['*a*', ['a', 'a-b', 'a\\b', 'a]b', 'a^b', 'ab']],
    ['[b-a]', []],
    ['d/*', ['d/a', 'd/e']],
    ['d/**', ['d/a', 'd/e']],
    ['d/**/a', ['d/e/a']],
    ['*/*/*', ['d/e/a', 'd/e/b']],
    ['d/*/../a', ['d/a']],
    ['/../d', ['d']],
    ['d/e/', ['d/e']],
    ['d*e', []],
    ['d?a', []],
    ['d[/]a', []],
  ])('%j, of an open commit', async (pattern, expected) => {
    const { fileInfo } = await pachd.pfs.globFile({
      commit: commitOf(open.repo, 'master'),
      pattern,
    })
    expect(fileInfo.map(({ file }) => file?.path)).toEqual(expected.map((path) => `/${path}`))
    expect(fileInfo.every(({ file }) => file?.commit?.id === open.id)).toBe(true)
  })

  test('a pattern that would take for ever does not', async () => {
    const { repo, id } = open
    await put(open, 'z'.repeat(1000), '')
    const pattern = `${'*z'.repeat(400)}*y`
    expect((await pachd.pfs.globFile({ commit: commitOf(repo, id), pattern })).fileInfo).toEqual([])
  })
})

function sides({ newFiles, oldFiles }: DiffFileResponse): unknown {
  return {
    new: newFiles.map(({ file }) => file?.path),
    old: oldFiles.map(({ file }) => file?.path),
  }
}

describe('diff-file', () => {
  test('of an open commit, against its parent', async () => {
    const open = await openCommit({ a: '1', b: '2' })
    await put(open, 'a', 'more')
    await put(open, 'c', '3')
    await remove(open, 'b')
    const answer = await pachd.pfs.diffFile({ newFile: fileOf(open.repo, open.id, '/') })
    expect(sides(answer)).toEqual({ new: ['/a', '/c'], old: ['/a', '/b'] })
  })

  test('a file that became a directory, and the reverse; deep tells of files, shallow of both', async () => {
    const open = await openCommit({ f: 'file', 'd/x': 'below' })
    for (const path of ['f', 'd']) await remove(open, path)
    await put(open, 'f/x', 'below')
    await put(open, 'd', 'file')
    const newFile = fileOf(open.repo, open.id, '/')
    expect(sides(await pachd.pfs.diffFile({ newFile }))).toEqual({
      new: ['/d', '/f/x'],
      old: ['/d/x', '/f'],
    })
    expect(sides(await pachd.pfs.diffFile({ newFile, shallow: true }))).toEqual({
      new: ['/d', '/f'],
      old: ['/d', '/f'],
    })
  })

  test('missing on either side, or on both; a file against a directory; other repos', async () => {
    const one = await openCommit({ 'd/x': '1', f: '2' })
    const other = await openCommit({ 'e/x': '1', 'e/y': '3' })
    const diff = async (newPath: string, oldPath: string): Promise<unknown> =>
      sides(
        await pachd.pfs.diffFile({
          newFile: fileOf(one.repo, one.id, newPath),
          oldFile: fileOf(other.repo, other.id, oldPath),
        }),
      )
    expect(await diff('none', 'none')).toEqual({ new: [], old: [] })
    expect(await diff('none', 'e')).toEqual({ new: [], old: ['e/x', 'e/y'] })
    expect(await diff('d', '/none')).toEqual({ new: ['d/x'], old: [] })
    expect(await diff('f/below', 'e/x')).toEqual({ new: [], old: ['e/x'] })
    expect(await diff('d', '/e')).toEqual({ new: [], old: ['/e/y'] })
    expect(await diff('f', 'e')).toEqual({ new: ['f'], old: ['e/x', 'e/y'] })
    expect(await diff('/d/', './e/')).toEqual({ new: [], old: ['e/y'] })
  })
})
