import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { failed, freshRepo, refused } from '../harness/expectations.ts'
import {
  collect,
  commitOf,
  entriesOf,
  fileOf,
  getPieces,
  getText,
  noise,
  putFile,
} from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { WebServer } from '../harness/web-server.ts'

const patience = { stallMs: 400, attemptsMax: 3, pauseMs: 1 }

let pachd: TestPachd
let web: WebServer

beforeAll(async () => {
  pachd = await TestPachd.start({ patience })
  web = await WebServer.start()
})

afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
  await web[Symbol.asyncDispose]()
})

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

interface Put {
  readonly url: string
  readonly path?: string
  readonly addOwnName?: boolean
}

/** A repo with an open commit, and its id. */
async function openCommit(): Promise<{ readonly repo: string; readonly id: string }> {
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  return { repo, id }
}

async function putSources(
  { repo, id }: { readonly repo: string; readonly id: string },
  sources: readonly Put[],
  options: {
    readonly overwrite?: boolean
    readonly parallelism?: number
    readonly resume?: boolean
    readonly secret?: string
  } = {},
) {
  const request = { commit: commitOf(repo, id), sources: [...sources], ...options }
  return (await collect(pachd.files.putSources(request))).at(-1)
}

async function pathsOf(repo: string, id: string): Promise<readonly string[]> {
  const { fileInfo } = await pachd.pfs.globFile({ commit: commitOf(repo, id), pattern: '/*' })
  return fileInfo.map(({ file }) => file?.path ?? '')
}

async function hashOf(repo: string, id: string, path: string): Promise<string> {
  const hash = createHash('sha256')
  for (const piece of await getPieces(pachd, fileOf(repo, id, path))) hash.update(piece)
  return hash.digest('hex')
}

describe('from the web', () => {
  test('a file comes, and goes to where it is told to or to its own name', async () => {
    const commit = await openCommit()
    web.file('/a/one.txt', utf8('one'))
    const url = `${web.url}/a/one.txt`
    expect(
      await putSources(commit, [
        { url, path: 'here' },
        { url, addOwnName: true },
        { url, path: 'below', addOwnName: true },
      ]),
    ).toMatchObject({ files: 3n, bytes: 9n, done: true })
    for (const path of ['/here', '/a/one.txt', '/below/a/one.txt']) {
      expect(await getText(pachd, fileOf(commit.repo, commit.id, path))).toBe('one')
    }
  })

  test('one path is appended to in the order of the sources, however fast each is', async () => {
    const commit = await openCommit()
    for (const [index, delay] of [60, 0, 30, 0].entries()) {
      web.on(`/slow/${index}`, (_request, response) => {
        setTimeout(() => response.end(`${index};`), delay)
      })
    }
    const sources = [0, 1, 2, 3].map((index) => ({ url: `${web.url}/slow/${index}`, path: 'all' }))
    await putSources(commit, sources, { parallelism: 4 })
    expect(await getText(pachd, fileOf(commit.repo, commit.id, '/all'))).toBe('0;1;2;3;')
    await putSources(commit, sources.slice(3), { overwrite: true })
    expect(await getText(pachd, fileOf(commit.repo, commit.id, '/all'))).toBe('3;')
  })

  test('a body that breaks again and again is gone on with where it broke', async () => {
    const commit = await openCommit()
    const content = noise(6_000_000)
    web.file('/broken', content, (count) => (count <= 4 ? 1_200_000 : undefined))
    await putSources(commit, [{ url: `${web.url}/broken`, path: 'whole' }])
    expect(await hashOf(commit.repo, commit.id, '/whole')).toBe(sha256(content))
    const ranges = web.requests.filter((request) => request.startsWith('GET /broken'))
    expect(ranges).toHaveLength(5)
    expect(ranges.slice(1).every((request) => / bytes=\d+-$/.test(request))).toBe(true)
  })

  test('a file for which there is no room is not fetched', async () => {
    const commit = await openCommit()
    await putFile(pachd, fileOf(commit.repo, commit.id, 'd/f'), 'f')
    web.file('/no-room', utf8('never'))
    for (const path of ['d', 'd/f/x']) {
      for (const resume of [false, true]) {
        const put = putSources(commit, [{ url: `${web.url}/no-room`, path }], { resume })
        await expect(put).rejects.toEqual(
          failed(
            Code.failedPrecondition,
            'failed-precondition',
            `could not put file at "/${path}"`,
          ),
        )
      }
    }
    expect(web.requests.filter((request) => request.includes('/no-room'))).toEqual([])
    await putSources(commit, [{ url: `${web.url}/no-room`, path: 'd/f' }], { overwrite: true })
    expect(await getText(pachd, fileOf(commit.repo, commit.id, '/d/f'))).toBe('never')
  })

  test('a name with a % that stands for nothing is kept as it is written', async () => {
    const commit = await openCommit()
    web.file('/%zz%20b', utf8('odd'))
    await putSources(commit, [{ url: `${web.url}/%zz%20b`, addOwnName: true }])
    expect(await pathsOf(commit.repo, commit.id)).toEqual(['/%zz%20b'])
  })

  test('a server that knows no ranges is read again from its start', async () => {
    const commit = await openCommit()
    const content = noise(300_000)
    web.on('/whole-only', (_request, response, count) => {
      response.writeHead(200, { etag: '"a"', 'content-length': content.length })
      if (count === 1) response.write(content.subarray(0, 100_001), () => response.destroy())
      else response.end(content)
    })
    await putSources(commit, [{ url: `${web.url}/whole-only`, path: 'whole' }])
    expect(await hashOf(commit.repo, commit.id, '/whole')).toBe(sha256(content))
  })

  test('where nothing says that a file has not changed, what came is compared with what comes', async () => {
    const commit = await openCommit()
    const content = noise(400_000)
    web.on('/unmarked', (_request, response, count) => {
      // The last time without a length, in pieces.
      response.writeHead(200, count < 3 ? { 'content-length': content.length } : {})
      const breakAt = [100_001, 250_000][count - 1]
      if (breakAt === undefined) response.end(content)
      else response.write(content.subarray(0, breakAt), () => response.destroy())
    })
    await putSources(commit, [{ url: `${web.url}/unmarked`, path: 'whole' }])
    expect(await hashOf(commit.repo, commit.id, '/whole')).toBe(sha256(content))
    expect(web.requests.filter((seen) => seen.includes('/unmarked'))).toEqual(
      Array<string>(3).fill('GET /unmarked'),
    )
  })

  test.each([
    ['another ETag', { etag: '"b"' }],
    ['another beginning', {}],
    ['fewer bytes', {}],
  ])('what changed while it was read is not put together: %s', async (name, headers) => {
    const commit = await openCommit()
    const path = `/changing/${name.replace(' ', '-')}`
    web.on(path, (_request, response, count) => {
      const isMarked = 'etag' in headers
      const isPart = count > 1 && isMarked
      response.writeHead(isPart ? 206 : 200, {
        ...(count === 1 && isMarked ? { etag: '"a"' } : headers),
        ...(isPart && { 'content-range': 'bytes 10-19/20' }),
        ...(count === 1 && { 'content-length': 20 }),
      })
      if (count === 1) response.write('0123456789', () => response.destroy())
      else response.end(name === 'fewer bytes' ? '01234' : 'abcdefghijklmnopqrst')
    })
    await expect(putSources(commit, [{ url: `${web.url}${path}`, path: 'x' }])).rejects.toEqual(
      failed(Code.failedPrecondition, 'failed-precondition', 'it has changed meanwhile'),
    )
    expect(await pathsOf(commit.repo, commit.id)).toEqual([])
  })

  test('a server that falls silent is asked again, and given up in the end', async () => {
    const commit = await openCommit()
    web.on('/stalls-once', (_request, response, count) => {
      response.writeHead(200, { 'content-length': 4, etag: '"s"' })
      if (count === 1) response.write('si')
      else response.end('sile'.slice(0, 4))
    })
    await putSources(commit, [{ url: `${web.url}/stalls-once`, path: 'x' }])
    expect(await getText(pachd, fileOf(commit.repo, commit.id, '/x'))).toBe('sile')
    web.on('/stalls', () => undefined)
    await expect(putSources(commit, [{ url: `${web.url}/stalls`, path: 'y' }])).rejects.toEqual(
      failed(Code.unavailable, 'unavailable', /tried 3 times: it sent nothing/),
    )
  })

  test.each([
    [404, Code.notFound, 'not-found', '404 Not Found'],
    [403, Code.permissionDenied, 'permission-denied', '403 Forbidden'],
    [503, Code.unavailable, 'unavailable', '503 Service Unavailable'],
    [418, Code.invalidArgument, 'invalid-argument', "418 I'm a Teapot"],
  ] as const)('an answer %i is no content', async (status, code, kind, text) => {
    const commit = await openCommit()
    web.file('/fine', utf8('fine'))
    web.on(`/status/${status}`, (_request, response) => response.writeHead(status).end('sorry'))
    const sources = [
      { url: `${web.url}/fine`, path: 'fine' },
      { url: `${web.url}/status/${status}`, path: 'bad' },
    ]
    await expect(putSources(commit, sources)).rejects.toEqual(failed(code, kind, text))
    expect(await pathsOf(commit.repo, commit.id)).toEqual([])
  })

  test('redirects are followed, but not for ever, and take no password elsewhere', async () => {
    const commit = await openCommit()
    await using other = await WebServer.start()
    const seen: (string | undefined)[] = []
    other.on('/end', (request, response) => {
      seen.push(request.headers.authorization)
      response.end('there')
    })
    web.on('/moved', (request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(302, { location: `${other.url}/end` }).end()
    })
    web.on('/loop', (_request, response) => response.writeHead(301, { location: '/loop' }).end())
    web.on('/file-url', (_request, response) => {
      response.writeHead(301, { location: 'file:///etc/passwd' }).end()
    })
    const withPassword = web.url.replace('//', '//ada:s3cret@')
    await putSources(commit, [{ url: `${withPassword}/moved`, path: 'x' }])
    expect(await getText(pachd, fileOf(commit.repo, commit.id, '/x'))).toBe('there')
    expect(seen).toEqual([`Basic ${Buffer.from('ada:s3cret').toString('base64')}`, undefined])
    const error = await putSources(commit, [
      { url: `${withPassword}/loop?key=s3cret`, path: 'y' },
    ]).catch((caught: unknown) => caught)
    expect(error).toEqual(
      failed(Code.failedPrecondition, 'failed-precondition', 'leads from one address to the next'),
    )
    expect((error as Error).message).not.toContain('s3cret')
    expect(pachd.log.join('')).not.toContain('s3cret')
    await expect(putSources(commit, [{ url: `${web.url}/file-url`, path: 'z' }])).rejects.toEqual(
      failed(Code.failedPrecondition, 'failed-precondition', 'no address of the web'),
    )
  })

  test('a secret of the server opens what it is for, and goes to nobody else', async () => {
    const commit = await openCommit()
    await using other = await WebServer.start()
    const seen: (string | undefined)[] = []
    other.on('/end', (request, response) => {
      seen.push(request.headers.authorization)
      response.end('there')
    })
    web.on('/closed', (request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(302, { location: `${other.url}/end` }).end()
    })
    const secret = 'of-the-web'
    const store = (values: Readonly<Record<string, string>>) =>
      pachd.secrets.updateSecret({ name: secret, entries: entriesOf(values) })
    const put = (path: string) =>
      putSources(commit, [{ url: `${web.url}/closed`, path }], { secret })
    await expect(put('none')).rejects.toEqual(
      failed(Code.failedPrecondition, 'failed-precondition', 'secret of-the-web does not exist'),
    )
    await pachd.secrets.createSecret({
      name: secret,
      entries: entriesOf({ HTTP_TOKEN: 't0psecret\n' }),
    })
    await put('token')
    await store({ HTTP_USER: 'ada', HTTP_PASSWORD: 't0psecret' })
    await put('password')
    const pair = Buffer.from('ada:t0psecret').toString('base64')
    expect(seen).toEqual(['Bearer t0psecret', undefined, `Basic ${pair}`, undefined])
    for (const values of [
      { HTTP_USER: 'ada' },
      { HTTP_TOKEN: 't0p secret' },
      { AWS_ACCESS_KEY_ID: 't0psecret' },
    ]) {
      await store(values)
      const error = await put('refused').catch((caught: unknown) => caught)
      expect(error).toEqual(
        failed(Code.failedPrecondition, 'failed-precondition', 'secret with the credentials'),
      )
      expect((error as Error).message).not.toContain('t0p')
    }
    expect(pachd.log.join('')).not.toContain('t0p')
  })

  test('what cannot be a source is refused in words', async () => {
    const commit = await openCommit()
    await using gone = await WebServer.start()
    const { url } = gone
    await gone[Symbol.asyncDispose]()
    for (const [source, code, text] of [
      [{ url: 'ftp://host/x', path: 'x' }, Code.invalidArgument, 'unrecognized object store: ftp'],
      [{ url: 'plain', path: 'x' }, Code.invalidArgument, 'unrecognized object store'],
      [{ url: `${web.url}/`, addOwnName: true }, Code.invalidArgument, 'has no name'],
      [
        { url: `${web.url}/fine`, path: '/' },
        Code.invalidArgument,
        'cannot put a file at the root',
      ],
      [{ url: `${web.url}/fine`, path: '../x' }, Code.invalidArgument, 'leads out of the root'],
      [{ url, path: 'x' }, Code.unavailable, 'connection refused'],
    ] as const) {
      await expect(putSources(commit, [source])).rejects.toEqual(
        failed(code, expect.anything() as never, text),
      )
    }
    await expect(putSources(commit, [])).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'names no source'),
    )
    await expect(putSources({ ...commit, id: 'nope' }, [{ url, path: 'x' }])).rejects.toEqual(
      failed(Code.notFound, 'not-found', 'not found'),
    )
  })

  test('a caller who goes away stops the fetching', async () => {
    const commit = await openCommit()
    const closed = Promise.withResolvers<undefined>()
    const asked = Promise.withResolvers<undefined>()
    web.on('/endless', (_request, response) => {
      response.writeHead(200)
      response.write('more')
      asked.resolve(undefined)
      response.on('close', () => closed.resolve(undefined))
    })
    const stop = new AbortController()
    const sources = [{ url: `${web.url}/endless`, path: 'x' }]
    const request = { commit: commitOf(commit.repo, commit.id), sources }
    const put = collect(pachd.files.putSources(request, { signal: stop.signal }))
    put.catch(() => undefined)
    await asked.promise
    stop.abort()
    await expect(put).rejects.toMatchObject({ code: Code.cancelled })
    await closed.promise
    expect(await pathsOf(commit.repo, commit.id)).toEqual([])
  })
})

describe('gone on with', () => {
  test('only what is missing is fetched again, in a new commit too', async () => {
    const { repo, id } = await openCommit()
    const large = noise(5_000_000)
    let isWhole = false
    web.file('/kept/one', utf8('one'))
    web.file('/kept/large', large, () => (isWhole ? undefined : 1_100_000))
    const sources = ['one', 'large'].map((name) => ({ url: `${web.url}/kept/${name}`, path: name }))
    // Each attempt brings something, so it takes some before it is given up.
    web.on('/kept/missing', (_request, response) => {
      response.writeHead(isWhole ? 200 : 404).end('three')
    })
    const all = [...sources, { url: `${web.url}/kept/missing`, path: 'three' }]
    await expect(putSources({ repo, id }, all, { parallelism: 1 })).rejects.toEqual(
      failed(Code.notFound, 'not-found', /404 Not Found; nothing was put\. 2 files.*--resume/),
    )
    expect(await pathsOf(repo, id)).toEqual([])
    await pachd.pfs.deleteCommit({ commit: commitOf(repo, id) })
    const next = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'other' })
    isWhole = true
    const done = await putSources({ repo, id: next.id }, all, { resume: true })
    expect(done).toMatchObject({ files: 3n, bytes: 5n, keptBytes: 5_000_003n })
    expect(await hashOf(repo, next.id, '/large')).toBe(
      createHash('sha256').update(large).digest('hex'),
    )
    // It has been put, so there is nothing to go on with any more.
    expect(await putSources({ repo, id: next.id }, all, { resume: true })).toMatchObject({
      bytes: 5_000_008n,
      keptBytes: 0n,
    })
  })

  test('a file that broke off for good is gone on with where it broke, if it is still the same', async () => {
    const { repo, id } = await openCommit()
    const content = noise(5_000_000)
    let etag = '"one"'
    let isBroken = true
    web.on('/half', (request, response) => {
      const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const isProbe = request.headers.range === 'bytes=0-0'
      if (isBroken && start > 0) {
        response.writeHead(503).end()
        return
      }
      const rest = isProbe ? content.subarray(0, 1) : content.subarray(start)
      response.writeHead(start > 0 || isProbe ? 206 : 200, {
        etag,
        'content-length': rest.length,
        'content-range': `bytes ${start}-${start + rest.length - 1}/${content.length}`,
      })
      if (isBroken && !isProbe)
        response.write(rest.subarray(0, 2_000_000), () => response.destroy())
      else response.end(rest)
    })
    const sources = [{ url: `${web.url}/half`, path: 'half' }]
    const put = (resume: boolean) => putSources({ repo, id }, sources, { resume })
    await expect(put(false)).rejects.toEqual(
      failed(Code.unavailable, 'unavailable', /503 Service Unavailable; nothing was put/),
    )
    isBroken = false
    const resumed = await put(true)
    expect(resumed?.keptBytes).toBeGreaterThan(1_000_000n)
    expect(Number(resumed?.keptBytes) + Number(resumed?.bytes)).toBe(content.length)
    expect(await hashOf(repo, id, '/half')).toBe(createHash('sha256').update(content).digest('hex'))
    // The same, but the file has changed meanwhile: all of it comes.
    isBroken = true
    await expect(put(false)).rejects.toMatchObject({ code: Code.unavailable })
    isBroken = false
    etag = '"two"'
    expect(await put(true)).toMatchObject({ bytes: 5_000_000n, keptBytes: 0n })
  })
})

describe('from a client of 1.5', () => {
  test('a URL in the first message is fetched, and the values are not used', async () => {
    const { repo, id } = await openCommit()
    web.file('/fifteen', utf8('by the server'))
    await putFile(pachd, fileOf(repo, id, 'a'), 'not this', { url: `${web.url}/fifteen` })
    await putFile(pachd, fileOf(repo, id, 'a'), '', { url: `${web.url}/fifteen` })
    expect(await getText(pachd, fileOf(repo, id, '/a'))).toBe('by the serverby the server')
    await putFile(pachd, fileOf(repo, id, 'a'), '', { url: `${web.url}/fifteen`, overwrite: true })
    expect(await getText(pachd, fileOf(repo, id, '/a'))).toBe('by the server')
  })

  test('failures are as those of 1.5', async () => {
    const { repo, id } = await openCommit()
    for (const [url, kind, text] of [
      [`${web.url}/missing`, 'not-found', '404 Not Found'],
      [
        'hdfs://a/b',
        'invalid-argument',
        'error parsing url hdfs://a/b: unrecognized object store: hdfs',
      ],
      ['localhost:1/data', 'invalid-argument', 'unrecognized object store: localhost'],
      [
        'pfs://127.0.0.1:1/data',
        'invalid-argument',
        'pfs put-file path must be of form repo/commit[/path/to/file] got: /data',
      ],
    ] as const) {
      await expect(putFile(pachd, fileOf(repo, id, 'a'), '', { url })).rejects.toEqual(
        refused(kind, text),
      )
    }
  })
})

describe('within reach', () => {
  test('private and link-local addresses are refused, also by name', async () => {
    await using guarded = await TestPachd.start({ sources: 'public', patience })
    const repo = await freshRepo(guarded)
    const { id } = await guarded.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    for (const url of [
      `${web.url}/fine`,
      `http://localhost:${web.port}/fine`,
      `http://[::1]:${web.port}/fine`,
      `http://[::ffff:127.0.0.1]:${web.port}/fine`,
      `http://2130706433:${web.port}/fine`,
      `http://0x7f.1:${web.port}/fine`,
      'http://169.254.169.254/latest/meta-data/',
      `pfs://127.0.0.1:${pachd.port}/data/master`,
      `pfs://localhost:${pachd.port}/data/master`,
      `pfs://2130706433:${pachd.port}/data/master`,
    ]) {
      const sources = [{ url, path: 'x' }]
      const put = collect(guarded.files.putSources({ commit: commitOf(repo, id), sources }))
      await expect(put).rejects.toEqual(
        failed(Code.permissionDenied, 'permission-denied', 'no public address'),
      )
    }
    expect(web.requests.filter((request) => request.startsWith('GET /fine '))).toEqual([])
  })

  test('a server can be told to fetch nothing', async () => {
    await using closed = await TestPachd.start({ sources: 'none' })
    const repo = await freshRepo(closed)
    await closed.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    const put = putFile(closed, fileOf(repo, 'master', 'a'), '', { url: `${web.url}/fine` })
    await expect(put).rejects.toEqual(refused('permission-denied', '--sources none'))
  })
})
