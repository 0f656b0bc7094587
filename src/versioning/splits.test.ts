import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ByteStream, utf8 } from '../base/bytes.ts'
import type { Database } from '../database/database.ts'
import type { ChunkId } from '../storage/chunks.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { byLine } from '../testing/versioning-pair.ts'
import { pieceName, pieceNumberOf, type Split } from './splits.ts'
import { createVersioning } from './versioning.ts'

/** Knows how many bytes it holds. */
class SizedChunks extends MemoryChunkStore {
  sizeBytes = 0

  override put(bytes: Uint8Array): Promise<ChunkId> {
    const { count } = this
    const put = super.put(bytes)
    if (this.count > count) this.sizeBytes += bytes.length
    return put
  }
}

let world: TestVersioning
const chunks = new SizedChunks()
beforeAll(async () => {
  world = await openTestVersioning(chunks)
})
afterAll(() => world[Symbol.asyncDispose]())

interface Options {
  readonly split?: Split
  readonly overwrite?: boolean
  readonly commit?: string
}

/** A new repo with an open commit on `master`, and ways to write to it and to see what is there. */
async function openCommit(repo: string) {
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: repo })
  await commits.start({ repo, branch: 'master' })
  const file = { repo, commit: 'master' }
  return {
    put: (path: string, text = 'x') => writes.put({ ...file, path }, utf8(text)),
    split: (path: string, text: string, options: Options = {}) =>
      split(repo, [[path, utf8(text)]], options),
    finish: () => commits.finish(repo, 'master'),
    start: () => commits.start({ repo, branch: 'master' }),
    /** All files: path → text. */
    files: async () => {
      const found: Record<string, string> = {}
      for (const path of await world.paths(repo, 'master')) {
        found[path] = await world.read(repo, 'master', path)
      }
      return found
    },
  }
}

async function split(
  repo: string,
  puts: readonly (readonly [path: string, bytes: ByteStream | Uint8Array])[],
  { split: how = byLine, overwrite = false, commit = 'master' }: Options = {},
): Promise<{ readonly fileCount: number; readonly sizeBytes: number }> {
  await using bulk = await world.versioning.writes.bulk(repo, commit, { split: how })
  for (const [path, bytes] of puts) await bulk.put(path, bytes, { overwrite })
  return await bulk.commit()
}

const n = (number: number): string => pieceName(number)

test('names are 16 hex digits, and any hex digits are read as a number', () => {
  expect([n(0), n(10), n(256)]).toEqual([
    '0000000000000000',
    '000000000000000a',
    '0000000000000100',
  ])
  expect(['f', 'F0', '000000000000000a', '0'].map(pieceNumberOf)).toEqual([15, 240, 10, 0])
  expect(['', '-1', '+1', '0x1', '1.txt', 'g', '7fffffffffffffff'].map(pieceNumberOf)).toEqual(
    Array.from({ length: 7 }),
  )
})

test('pieces are files in a directory at the path, read before and after the finish', async () => {
  const { split: put, files, finish } = await openCommit('basic')
  expect(await put('/d/log', 'one\ntwo\nthree')).toEqual({ fileCount: 3, sizeBytes: 13 })
  const expected = {
    [`/d/log/${n(0)}`]: 'one\n',
    [`/d/log/${n(1)}`]: 'two\n',
    [`/d/log/${n(2)}`]: 'three',
  }
  expect(await files()).toEqual(expected)
  await finish()
  expect(await files()).toEqual(expected)
})

test('numbers go on within a commit and from its parent', async () => {
  const { split: put, files, finish, start } = await openCommit('going-on')
  await put('log', 'a\nb\n')
  await put('log', 'c\n')
  await finish()
  await start()
  await put('log', 'd\n')
  await finish()
  expect(Object.values(await files())).toEqual(['a\n', 'b\n', 'c\n', 'd\n'])
  expect(Object.keys(await files())).toEqual([0, 1, 2, 3].map((at) => `/log/${n(at)}`))
})

test('numbers go on from the last name in byte order, whatever it was made by', async () => {
  const { split: put, put: putFile, files } = await openCommit('hex')
  await putFile('log/f')
  await put('log', 'a\nb\n')
  await putFile(`dir/${n(9)}/below`)
  await put('dir', 'a\n')
  expect(Object.keys(await files())).toEqual([
    `/dir/${n(9)}/below`,
    `/dir/${n(10)}`,
    `/log/${n(16)}`,
    `/log/${n(17)}`,
    '/log/f',
  ])
  // The last name is still f, so the numbers are the same again: pieces are put, and puts append.
  await put('log', 'c\n')
  expect(await world.read('hex', 'master', `log/${n(16)}`)).toBe('a\nc\n')
})

test('overwriting replaces all that is at the path, a file too, and begins at 0', async () => {
  const { split: put, put: putFile, files } = await openCommit('over')
  await putFile('log/not-hex')
  await put('log', 'a\n', { overwrite: true })
  expect(await files()).toEqual({ [`/log/${n(0)}`]: 'a\n' })
  await put('log', 'b\nc\n', { overwrite: true })
  expect(await files()).toEqual({ [`/log/${n(0)}`]: 'b\n', [`/log/${n(1)}`]: 'c\n' })
  await putFile('file')
  await put('file', 'd\n', { overwrite: true })
  expect((await files())[`/file/${n(0)}`]).toBe('d\n')
  await put('/', 'e\n', { overwrite: true })
  expect(await files()).toEqual({ [`/${n(0)}`]: 'e\n' })
})

test('nothing to split records nothing; overwriting by nothing leaves nothing', async () => {
  const { split: put, put: putFile, files } = await openCommit('empty')
  expect(await put('log', '')).toEqual({ fileCount: 0, sizeBytes: 0 })
  expect(await put('json', ' \n', { split: { ...byLine, format: 'json' } })).toMatchObject({
    fileCount: 0,
  })
  expect(await files()).toEqual({})
  const { commits } = world.versioning
  const isEmpty = await world.database.read((tx) => tx.all('SELECT id FROM staged_writes'))
  const { id } = await commits.inspect('empty', 'master')
  expect(isEmpty.filter((row) => row['id'] === id)).toEqual([])
  await putFile('log/f')
  await putFile('other')
  await put('log', '', { overwrite: true })
  expect(await files()).toEqual({ '/other': 'x' })
})

const refusals: readonly (readonly [what: string, path: string, text: RegExp])[] = [
  [
    'onto a file',
    '/file',
    /^the file at "\/file" is not a directory, into which pieces could go: /,
  ],
  [
    'below a file',
    '/file/log',
    /"\/file\/log": attempted to visit "\/file", which is not a directory/,
  ],
  [
    'where the last name is no number',
    '/named',
    /^error parsing filename zebra as int: .* from the last name in "\/named"/,
  ],
  ['where the root has such a name', '/', /^error parsing filename named as int: .* name in "\/"/],
]

test.each(refusals)('a split %s is refused, and changes nothing', async (_, path, text) => {
  const repo = `refused${path.replaceAll('/', '-')}`
  const { split: put, put: putFile, files, finish } = await openCommit(repo)
  await putFile('file')
  await putFile('named/zebra')
  await putFile(`named/${n(3)}`)
  await expect(put(path, 'a\n')).rejects.toThrow(text)
  expect(Object.keys(await files())).toEqual(['/file', `/named/${n(3)}`, '/named/zebra'])
  await finish()
})

test('a put that is malformed at its end leaves the commit as it was', async () => {
  const { split: put, files, finish } = await openCommit('malformed')
  await put('log', 'a\n')
  const before = await world.versioning.files.tree('malformed', 'master')
  const json = { ...byLine, format: 'json' } as const
  const text = `${'{"a": 1}\n'.repeat(100_000)}{"a": }`
  await expect(put('log', text, { split: json })).rejects.toThrow(/byte 900007, line 100001: /)
  expect((await world.versioning.files.tree('malformed', 'master')).tree).toEqual(before.tree)
  await finish()
  expect(await files()).toEqual({ [`/log/${n(0)}`]: 'a\n' })
})

async function* failing(): AsyncGenerator<Uint8Array> {
  yield utf8('a\n'.repeat(100_000))
  throw new Error('the client has gone')
}

test('a stream that fails midway leaves the commit as it was', async () => {
  const { files } = await openCommit('failing')
  const run = split('failing', [
    ['one', utf8('whole\n')],
    ['two', failing()],
  ])
  await expect(run).rejects.toThrow('the client has gone')
  expect(await files()).toEqual({})
})

test('many paths are split in one write, whatever their order', async () => {
  const { files } = await openCommit('many')
  const paths = ['z', 'a/b', 'a!', 'a', 'm/n/o', 'z'].map((path) => `in/${path}/log`)
  const result = await split(
    'many',
    paths.map((path, at) => [path, utf8(`${at}\n${at}.\n`)]),
  )
  expect(result).toEqual({ fileCount: 12, sizeBytes: 30 })
  const text = await files()
  expect(Object.keys(text)).toHaveLength(12)
  expect(text[`/in/z/log/${n(0)}`]).toBe('0\n')
  expect(text[`/in/z/log/${n(2)}`]).toBe('5\n')
  expect(text[`/in/m/n/o/log/${n(1)}`]).toBe('4.\n')
  const rows = await world.database.read((tx) => tx.all('SELECT id, kind FROM staged_writes'))
  const { id } = await world.versioning.commits.inspect('many', 'master')
  expect(rows.filter((row) => row['id'] === id)).toEqual([{ id, kind: 7 }])
})

test('a path within another cannot be split to in the same write', async () => {
  const { files } = await openCommit('nested')
  for (const [outer, shown] of [
    ['a', '/a'],
    ['/', '/'],
  ] as const) {
    const run = split('nested', [
      [`a/${n(0)}`, utf8('inner\n')],
      [outer, utf8('outer\n')],
    ])
    const text = `cannot split to "${shown}" and to "/a/${n(0)}" in one call`
    await expect(run).rejects.toThrow(text)
  }
  expect(await files()).toEqual({})
})

test('splits at once into one directory are each whole, one behind the other', async () => {
  const { files, finish } = await openCommit('racing')
  const texts = Array.from({ length: 8 }, (_, at) => `${at}a\n${at}b\n${at}c\n`)
  await Promise.all(texts.map((text) => split('racing', [['log', utf8(text)]])))
  await finish()
  const all = Object.values(await files()).join('')
  expect(all).toHaveLength(texts.join('').length)
  for (const text of texts) expect(all).toContain(text)
})

test('a split that is outrun into a conflict shows it at the finish, and a delete repairs it', async () => {
  const { put: putFile, files, finish } = await openCommit('outrun')
  // Something comes between each time that the split has been checked against the tree.
  const between = ['other', 'other', 'log/zebra']
  const transact: Database['transact'] = async (operation, options) => {
    const path = between.shift()
    if (path !== undefined) await putFile(path)
    return world.database.transact(operation, options)
  }
  const read: Database['read'] = (operation) => world.database.read(operation)
  const database: Database = { ...world.database, transact, read }
  const { writes } = createVersioning({ ...world.ports, database })
  await using bulk = await writes.bulk('outrun', 'master', { split: byLine })
  await bulk.put('log', utf8('a\n'))
  await bulk.commit()
  expect(between).toEqual([])
  await expect(finish()).rejects.toThrow(/^error parsing filename zebra as int/)
  expect(await files()).toEqual({ '/log/zebra': 'x', '/other': 'xx' })
  await writes.delete({ repo: 'outrun', commit: 'master', path: 'log' })
  await finish()
  expect(await files()).toEqual({ '/other': 'xx' })
})

function logLine(at: number): string {
  return `line ${at} ${'x'.repeat(at % 100)} of a log that grows\n`
}

test('splitting a log again that has grown stores what is new only', async () => {
  const { split: put, finish, start } = await openCommit('grown')
  const log = Array.from({ length: 20_000 }, (_, at) => logLine(at)).join('')
  const grown = log + Array.from({ length: 100 }, (_, at) => logLine(at + 20_000)).join('')
  for (const targetBytes of [0, 50_000]) {
    const how = { split: { ...byLine, targetBytes }, overwrite: true }
    const storedBytes: number[] = []
    for (const text of [log, grown]) {
      const before = chunks.sizeBytes
      await put('log', text, how)
      await finish()
      await start()
      storedBytes.push(chunks.sizeBytes - before)
    }
    const [first = 0, second = 0] = storedBytes
    expect(second).toBeLessThan(first / 8)
  }
})
