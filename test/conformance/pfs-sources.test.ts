import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { putFiles } from '../../src/client/file-transfers.ts'
import { failed, freshName, freshRepo } from '../harness/expectations.ts'
import {
  collect,
  commitFiles,
  commitOf,
  fileOf,
  getPieces,
  getText,
  noise,
  putFile,
} from '../harness/files.ts'
import { type Expected, ReplayedServer } from '../harness/replayed-server.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const patience = { stallMs: 5000, attemptsMax: 3, pauseMs: 1 }

let pachd: TestPachd

beforeAll(async () => {
  pachd = await TestPachd.start({ patience })
})

afterAll(async () => pachd[Symbol.asyncDispose]())

interface PutOptions {
  readonly path?: string
  readonly recursive?: boolean
}

/** Puts from a URL into a new commit of a new repo, finished. */
async function put(url: string, options: PutOptions = {}) {
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  const { path = '', recursive = false } = options
  const sources = [{ url, path, addOwnName: path === '' }]
  await collect(pachd.files.putSources({ commit: commitOf(repo, id), sources, recursive }))
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  return contentsOf(repo, id)
}

/** The size of each file. */
async function sizesOf(repo: string, commit: string): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {}
  const newFile = fileOf(repo, commit, '/')
  const oldFile = fileOf(repo, commit, '/nothing is here')
  for await (const { diffs } of pachd.files.diffFiles({ newFile, oldFile })) {
    for (const { newFile: info } of diffs) sizes[info?.file?.path ?? ''] = Number(info?.sizeBytes)
  }
  return sizes
}

/** Size and hash of each file, as `expected.json` has them. */
async function contentsOf(repo: string, commit: string): Promise<Record<string, object>> {
  const contents: Record<string, object> = {}
  for (const [path, size] of Object.entries(await sizesOf(repo, commit))) {
    const hash = createHash('sha256')
    for (const piece of await getPieces(pachd, fileOf(repo, commit, path))) hash.update(piece)
    contents[path] = { size, sha256: hash.digest('hex') }
  }
  return contents
}

/** What a recorded server has at `repo@commit`, at and below a path, as if it had been put at another. */
function recorded(expected: Expected, ref: string, below = '', to = ''): Record<string, object> {
  const files = Object.entries(expected.files[ref] ?? {})
  expect(files.length).toBeGreaterThan(0)
  return Object.fromEntries(
    files
      .filter(([path]) => path === below || path.startsWith(`${below}/`))
      .map(([path, { size, sha256 }]) => [`${to}${path.slice(below.length)}`, { size, sha256 }]),
  )
}

describe.each(['1.3.18', '1.3.19'] as const)('from the recorded server %s', (version) => {
  let server: ReplayedServer

  beforeAll(async () => {
    server = await ReplayedServer.start(version)
  })

  beforeEach(() => server.reset())

  afterEach(() => server.requireKnown())

  afterAll(async () => server[Symbol.asyncDispose]())

  test('every branch and every commit comes as it is', async () => {
    const { address, expected } = server
    for (const ref of Object.keys(expected.files)) {
      const [repo = '', commit = ''] = ref.split('@')
      const files = await put(`pfs://${address}/${repo}/${commit}`, { recursive: true })
      expect(files).toEqual(recorded(expected, ref))
    }
  })

  test('a directory goes to its own name, or directly below a path', async () => {
    const { address, expected } = server
    const url = `pfs://${address}/legacy/master/dir`
    const own = recorded(expected, 'legacy@master', '/dir', '/dir')
    expect(await put(url, { recursive: true })).toEqual(own)
    const elsewhere = recorded(expected, 'legacy@master', '/dir', '/dest')
    expect(await put(url, { recursive: true, path: 'dest' })).toEqual(elsewhere)
  })

  test('a file comes, whether or not directories would', async () => {
    const { address, expected } = server
    const url = `pfs://${address}/legacy/master/dir/one.txt`
    for (const recursive of [false, true]) {
      const own = recorded(expected, 'legacy@master', '/dir/one.txt', '/dir/one.txt')
      expect(await put(url, { recursive })).toEqual(own)
      const moved = recorded(expected, 'legacy@master', '/dir/one.txt', '/dest.txt')
      expect(await put(url, { recursive, path: 'dest.txt' })).toEqual(moved)
    }
    expect(await put(`pfs://${address}/legacy/master/with%20space.txt`)).toEqual(
      recorded(expected, 'legacy@master', '/with space.txt', '/with space.txt'),
    )
  })

  test('two sources that have a path in common are appended', async () => {
    const { address, expected } = server
    const repo = await freshRepo(pachd)
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    const sources = ['dev', 'master/dir'].map((name) => ({
      url: `pfs://${address}/legacy/${name}`,
      addOwnName: true,
    }))
    const commit = commitOf(repo, 'master')
    await collect(pachd.files.putSources({ commit, sources, recursive: true }))
    expect(await getText(pachd, fileOf(repo, 'master', '/dir/one.txt'))).toBe('one\none\n')
    const dev = recorded(expected, 'legacy@dev')
    expect(Object.keys(await contentsOf(repo, 'master'))).toEqual(Object.keys(dev))
  })

  test.each([
    [
      'legacy/master/dir',
      Code.invalidArgument,
      'is a directory; to put the files below it, use -r',
    ],
    ['legacy/master/nope.txt', Code.notFound, 'file /nope.txt not found in repo legacy'],
    ['legacy/nope/top.txt', Code.notFound, 'commit or branch "nope" not found in repo "legacy"'],
    ['nope/master', Code.notFound, 'commit or branch "master" not found in repo "nope"'],
    ['legacy', Code.invalidArgument, 'pfs put-file path must be of form repo/commit'],
  ] as const)('%s is refused in words', async (path, code, text) => {
    await expect(put(`pfs://${server.address}/${path}`)).rejects.toEqual(
      failed(code, expect.anything() as never, text),
    )
  })

  test('a connection that breaks while a file comes is made again', async () => {
    const { address, expected } = server
    let broken = 0
    server.breaks = (method) => {
      if (method !== '/pfs.API/GetFile' || broken > 0) return false
      broken += 1
      return true
    }
    const files = await put(`pfs://${address}/legacy/master/dir/sub`, {
      recursive: true,
      path: 'x',
    })
    expect(files).toEqual(recorded(expected, 'legacy@master', '/dir/sub', '/x'))
    expect(broken).toBe(1)
  })

  test('its history comes as commits, in order, deletions included', async () => {
    const { address, expected } = server
    for (const [branch, refs] of [
      ['master', [expected.ids['c1'], expected.ids['c2'], expected.ids['c3']]],
      ['dev', [expected.ids['c1'], expected.ids['d1']]],
    ] as const) {
      const repo = await freshRepo(pachd)
      const url = `pfs://${address}/legacy/${branch}`
      const request = { repo: { name: repo }, branch: 'old', url }
      const responses = await collect(pachd.files.putHistory(request))
      const brought = responses.flatMap((response) => response.brought)
      expect(brought.map(({ origin }) => origin)).toEqual(refs.map((id) => `legacy/${id}`))
      expect(responses.at(-1)).toMatchObject({ done: true, commits: BigInt(refs.length) })
      for (const { origin, commit } of brought) {
        const ref = origin.replace('/', '@')
        expect(await contentsOf(repo, commit?.id ?? '')).toEqual(recorded(expected, ref))
      }
      const { commitInfo } = await pachd.pfs.listCommit({
        repo: { name: repo },
        to: commitOf(repo, 'old'),
      })
      expect(commitInfo.map(({ commit }) => commit?.id)).toEqual(
        brought.map(({ commit }) => commit?.id).toReversed(),
      )
      expect(commitInfo.at(-1)?.message).toMatch(
        new RegExp(`^brought over from legacy/${refs[0]} at ${address}, where it was started 20`),
      )
    }
  })

  test('unchanged files are not fetched again for the next commit of a history', async () => {
    const repo = await freshRepo(pachd)
    const url = `pfs://${server.address}/legacy/master`
    await collect(pachd.files.putHistory({ repo: { name: repo }, branch: 'old', url }))
    const files = Object.keys(
      recorded(server.expected, `legacy@${server.expected.ids['c1']}`),
    ).length
    // One file changed and one came in the second commit; the third only lacks one.
    const changed = 2
    const gets = server.calls.filter((method) => method === '/pfs.API/GetFile')
    expect(gets).toHaveLength(files + changed)
  })

  test('a history that broke off is gone on with, and one is not brought to where others are', async () => {
    const repo = await freshRepo(pachd)
    const url = `pfs://${server.address}/legacy/master`
    const request = { repo: { name: repo }, branch: 'old', url }
    // Everything for the second commit fails.
    let commits = 0
    server.breaks = (method) => {
      if (method === '/pfs.API/ListFile') commits += 1
      return commits > 6 && method !== '/pfs.API/InspectCommit'
    }
    await expect(collect(pachd.files.putHistory(request))).rejects.toMatchObject({
      kind: 'unavailable',
    })
    server.breaks = () => false
    await expect(collect(pachd.files.putHistory(request))).rejects.toEqual(
      failed(
        Code.failedPrecondition,
        'failed-precondition',
        'go on with one that was begun with --resume',
      ),
    )
    const { commitInfo } = await pachd.pfs.listCommit({
      repo: { name: repo },
      to: commitOf(repo, 'old'),
    })
    const resumed = await collect(pachd.files.putHistory({ ...request, resume: true }))
    expect(commitInfo.length).toBeGreaterThan(0)
    expect(resumed.flatMap(({ brought }) => brought)).toHaveLength(3 - commitInfo.length)
    const all = recorded(server.expected, 'legacy@master')
    expect(await contentsOf(repo, 'old')).toEqual(all)
    // There is nothing left to bring; and what came from elsewhere is left alone.
    const again = await collect(pachd.files.putHistory({ ...request, resume: true }))
    expect(again.flatMap(({ brought }) => brought)).toEqual([])
    const other = { repo: { name: await freshRepo(pachd) }, branch: 'master', url, resume: true }
    await commitFiles(pachd, { repo: other.repo.name, branch: 'master' }, { mine: 'mine' })
    await expect(collect(pachd.files.putHistory(other))).rejects.toEqual(
      failed(
        Code.failedPrecondition,
        'failed-precondition',
        'no commit that was brought from there',
      ),
    )
  })
})

describe('from a server of 1.3', () => {
  let server: ReplayedServer

  beforeAll(async () => {
    server = await ReplayedServer.start('1.3.18')
  })

  afterAll(async () => server[Symbol.asyncDispose]())

  test('a commit is named by branch and number, however the slash is written', async () => {
    const { address, expected } = server
    const first = recorded(expected, 'legacy@master/0')
    expect(await put(`pfs://${address}/legacy/master/0`, { recursive: true })).toEqual(first)
    expect(await put(`${address}/legacy/master/0`, { recursive: true })).toEqual(first)
    const one = recorded(expected, 'legacy@master/0', '/top.txt', '/top.txt')
    expect(await put(`pfs://${address}/legacy/master/0/top.txt`)).toEqual(one)
    expect(await put(`pfs://${address}/legacy/master%2F0/top.txt`)).toEqual(one)
  })

  test('a number that is no commit is a name at the head of the branch', async () => {
    await expect(put(`pfs://${server.address}/legacy/master/99`)).rejects.toEqual(
      failed(Code.notFound, 'not-found', 'file /99 not found in repo legacy at commit master/2'),
    )
  })
})

describe('from another server like this', () => {
  let other: TestPachd

  /** Puts everything at the head of a branch there; returns what travelled. */
  async function pull(repo: string, there: string) {
    const commit = commitOf(repo, 'master')
    const sources = [{ url: `pfs://127.0.0.1:${other.port}/${there}/master` }]
    const request = { commit, sources, recursive: true, overwrite: true }
    return (await collect(pachd.files.putSources(request))).at(-1)
  }

  test('only bytes that are new travel', async () => {
    const repo = await freshRepo(pachd)
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    const there = freshName('there')
    await other.pfs.createRepo({ repo: { name: there } })
    const large = noise(6_000_000)
    const small = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [
        `d/${index}`,
        `small ${there} ${index} `.repeat(9),
      ]),
    )
    const smallBytes = Object.values(small).reduce((size, text) => size + text.length, 0)
    await other.pfs.startCommit({ parent: commitOf(there, ''), branch: 'master' })
    await putFile(other, fileOf(there, 'master', 'large'), [large])
    const puts = Object.entries(small).map(([path, text]) => ({ path, bytes: utf8(text) }))
    await putFiles(other.transport, { repo: there, id: 'master' }, puts)
    await putFile(other, fileOf(there, 'master', 'tiny'), 'tiny')
    const all = BigInt(large.length + smallBytes + 4)
    expect(await pull(repo, there)).toMatchObject({ files: 102n, bytes: all, keptBytes: 0n })
    expect(await getText(pachd, fileOf(repo, 'master', '/d/77'))).toBe(small['d/77'])
    expect(await contentsOf(repo, 'master')).toMatchObject({
      '/large': { size: large.length, sha256: createHash('sha256').update(large).digest('hex') },
    })
    // Nothing is new but what rides in the directories themselves.
    expect(await pull(repo, there)).toMatchObject({ bytes: 4n, keptBytes: all - 4n, done: true })
    const changed = [large.subarray(0, 3_000_000), utf8('an insertion'), large.subarray(3_000_000)]
    await putFile(other, fileOf(there, 'master', 'large'), changed, { overwrite: true })
    await putFile(other, fileOf(there, 'master', 'd/77'), 'more')
    const travelled = await pull(repo, there)
    expect(travelled?.bytes).toBeLessThan(3_000_000n)
    expect(travelled?.keptBytes).toBeGreaterThan(3_000_000n)
    expect(await getText(pachd, fileOf(repo, 'master', '/d/77'))).toBe(`${small['d/77']}more`)
    expect(await contentsOf(repo, 'master')).toMatchObject({
      '/large': {
        size: large.length + 12,
        sha256: createHash('sha256').update(concatBytes(changed)).digest('hex'),
      },
    })
  })

  beforeAll(async () => {
    other = await TestPachd.start()
  })

  afterAll(async () => other[Symbol.asyncDispose]())

  test('files of an open commit and of a finished one come, and so does its history', async () => {
    const repo = freshName('there')
    await other.pfs.createRepo({ repo: { name: repo } })
    const first = await commitFiles(
      other,
      { repo, branch: 'master' },
      { a: '1', 'd/b': '2', 'd/c/e': '3' },
    )
    const { id } = await other.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await other.pfs.deleteFile({ file: fileOf(repo, id, 'd/c') })
    const url = `pfs://127.0.0.1:${other.port}/${repo}/master`
    expect(Object.keys(await put(url, { recursive: true }))).toEqual(['/a', '/d/b'])
    const here = await freshRepo(pachd)
    const request = { repo: { name: here }, branch: 'old', url, path: 'at' }
    await collect(pachd.files.putHistory(request))
    expect(Object.keys(await contentsOf(here, 'old'))).toEqual(['/at/a', '/at/d/b', '/at/d/c/e'])
    await other.pfs.finishCommit({ commit: commitOf(repo, id) })
    const resumed = await collect(pachd.files.putHistory({ ...request, resume: true }))
    expect(resumed.flatMap(({ brought }) => brought).map(({ origin }) => origin)).toEqual([
      `${repo}/${id}`,
    ])
    expect(Object.keys(await contentsOf(here, 'old'))).toEqual(['/at/a', '/at/d/b'])
    expect(await put(`pfs://127.0.0.1:${other.port}/${repo}/${first}/a`)).toEqual({
      '/a': expect.objectContaining({ size: 1 }) as object,
    })
  })
})

interface Row {
  readonly args: string
  readonly result: 'ok' | 'error'
  readonly message?: string
  readonly paths?: Readonly<Record<string, number>>
}

/** Where the original failed or did what nobody wants: what is there now instead, by row. */
const better: Readonly<
  Record<string, Readonly<Record<string, Readonly<Record<string, number>> | string>>>
> = {
  'server-1.3.19': {
    // The address needs no scheme.
    '-f HOST/legacy/master -r': 'as -f pfs://HOST/legacy/master -r',
  },
  'server-1.3.18': {
    '-f HOST/legacy/master -r': 'legacy@master',
    '-f pfs://HOST/legacy/master -r': 'legacy@master',
    '-f pfs://HOST/legacy/master/0 -r': 'legacy@master/0',
    '-f pfs://HOST/legacy/master/dir -r': { '/dir/one.txt': 4, '/dir/sub/deep/three.txt': 6 },
    '-f pfs://HOST/legacy/master/dir/one.txt -r': { '/dir/one.txt': 4 },
    '-f pfs://HOST/legacy/master/nope.txt': 'error',
    '-f pfs://HOST/legacy/master/0/top.txt': { '/top.txt': 9 },
    '-f pfs://HOST/legacy/master%2F0/top.txt': { '/top.txt': 9 },
  },
}

describe.each(['1.3.18', '1.3.19'] as const)(
  'as the original 1.4.8 did from %s, or better',
  (version) => {
    const text = readFileSync(
      new URL('../fixtures/servers/pull-1.4.8.json', import.meta.url),
      'utf8',
    )
    const table = JSON.parse(text) as Readonly<Record<string, readonly Row[]>>
    // Splitting is not a matter of sources; and an address without port means 30650 now.
    const rows = (table[`against server-${version}`] ?? []).filter(
      ({ args }) => !args.includes('--split') && !args.includes('WITHOUT-PORT'),
    )

    let server: ReplayedServer

    beforeAll(async () => {
      server = await ReplayedServer.start(version)
    })

    afterAll(async () => server[Symbol.asyncDispose]())

    test.each(rows.map((row) => [row.args, row] as const))('put-file %s', async (args, row) => {
      const words = args
        .replaceAll('HOST', server.address)
        .replace('<id of the first commit>', server.expected.ids['c1'] ?? '')
        .split(' ')
      const urls = words.filter((_word, index) => words[index - 1] === '-f')
      const path = words[0]?.startsWith('-') === true ? '' : (words[0] ?? '')
      const repo = await freshRepo(pachd)
      await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
      const sources = urls.map((url) => ({ url, path, addOwnName: path === '' }))
      const request = { commit: commitOf(repo, 'master'), sources, recursive: words.includes('-r') }
      const instead = better[`server-${version}`]?.[args]
      const done = collect(pachd.files.putSources(request))
      const outcome = await done.catch(
        (error: unknown) => (error as { readonly kind: string }).kind,
      )
      const isFailure = instead === 'error' || (instead === undefined && row.result === 'error')
      const expected = isFailure ? /^(?:not-found|invalid-argument)$/ : /object/
      expect(typeof outcome === 'string' ? outcome : typeof outcome).toMatch(expected)
      const what = isFailure ? {} : (instead ?? row.paths ?? {})
      const sizes = expectedSizes(server, rows, what)
      expect(await sizesOf(repo, 'master')).toEqual(sizes)
    })
  },
)

function expectedSizes(
  { expected }: ReplayedServer,
  rows: readonly Row[],
  what: Readonly<Record<string, number>> | string,
): Readonly<Record<string, number>> {
  if (typeof what !== 'string') return what
  const same = rows.find(({ args }) => `as ${args}` === what)
  if (same !== undefined) return same.paths ?? {}
  const files = Object.entries(expected.files[what] ?? {})
  return Object.fromEntries(files.map(([path, { size }]) => [path, size]))
}
