import { once } from 'node:events'
import { statSync } from 'node:fs'
import { open as openFile, readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { putFiles } from '../../src/client/file-transfers.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { commitFiles, commitOf } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const mib = 1024 * 1024
const large = seededBytes(3, 5 * mib)
const hostileName = '<img src=x onerror="alert(1)">&\'\n\u202egnp.exe'

let pachd: TestPachd
let id: string
beforeAll(async () => {
  pachd = await TestPachd.start()
  await pachd.pfs.createRepo({ repo: { name: 'r' }, description: '<b>bold</b>\nmore' })
  await pachd.pfs.createRepo({ repo: { name: 'empty' } })
  const branch = { repo: 'r', branch: 'master' }
  id = await commitFiles(pachd, branch, {
    'a.csv': 'x,y\n',
    'd/f': 'in d',
    'd/sub/deep.txt': 'deep',
    'empty.txt': '',
    'page.html': '<script>alert(1)</script>',
    [hostileName]: 'hostile',
    'with blanks & %41.txt': 'odd',
    'é/日': 'unicode',
  })
  const started = await pachd.pfs.startCommit({ parent: commitOf('r', ''), branch: 'large' })
  const commit = { repo: 'r', id: started.id }
  await putFiles(pachd.transport, commit, [{ path: 'large', bytes: large }])
  await putFiles(pachd.transport, commit, many(5000))
  await pachd.pfs.finishCommit({ commit: commitOf('r', started.id) })
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

function* many(count: number): Generator<{ path: string; bytes: Uint8Array }> {
  for (let index = 0; index < count; index += 1) {
    yield { path: `many/${index}`, bytes: Buffer.from(`${index}`) }
  }
}

function urlOf(path: string, commit = 'master'): string {
  const names = path.split('/').map(encodeURIComponent).join('/')
  return `http://127.0.0.1:${pachd.httpPort}/v1/pfs/repos/r/commits/${commit}/files/${names}`
}

async function get(url: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { headers, redirect: 'manual' })
}

/** Says `text` as it is, byte for byte, and returns all that is answered until the connection closes. */
async function say(text: string, port = pachd.httpPort): Promise<string> {
  const socket = await open(port)
  let heard = ''
  socket.on('data', (bytes: Buffer) => (heard += bytes.toString('latin1')))
  socket.write(text, 'latin1')
  await closed(socket)
  return heard
}

async function closed(socket: Socket): Promise<void> {
  if (socket.closed) return
  await new Promise<void>((resolve) => socket.once('close', () => resolve()))
}

async function open(port = pachd.httpPort): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

function request(target: string, ...lines: readonly string[]): string {
  return [`GET ${target} HTTP/1.1`, 'host: here', 'connection: close', ...lines, '', ''].join(
    '\r\n',
  )
}

/** What a file has to do with. */
function headersOf({ headers }: Response): object {
  const ofConnections = ['date', 'connection', 'keep-alive']
  return Object.fromEntries([...headers].filter(([name]) => !ofConnections.includes(name)))
}

const page = { accept: 'text/html' }

describe('a file', () => {
  test('comes with its type, its size, its hash, and headers that let a browser run nothing', async () => {
    for (const url of [
      urlOf('a.csv'),
      urlOf('a.csv', id),
      urlOf('a.csv').replace(`${pachd.httpPort}`, `${pachd.port}`),
    ]) {
      const response = await get(url)
      expect([response.status, await response.text()]).toEqual([200, 'x,y\n'])
      const headers = Object.fromEntries(response.headers)
      const { hash } = await pachd.pfs.inspectFile({
        file: { commit: commitOf('r', 'master'), path: 'a.csv' },
      })
      expect(headers).toMatchObject({
        'accept-ranges': 'bytes',
        'cache-control': 'private, no-cache',
        'content-disposition': 'attachment; filename="a.csv"',
        'content-length': '4',
        'content-type': 'text/csv; charset=utf-8',
        'cross-origin-resource-policy': 'same-origin',
        etag: `"${Buffer.from(hash).toString('hex')}"`,
        'x-content-type-options': 'nosniff',
      })
      expect(headers['content-security-policy']).toMatch(/^sandbox; default-src 'none'; /)
      expect(headers['content-security-policy']).not.toContain('allow-')
      expect(headers['access-control-allow-origin']).toBeUndefined()
    }
  })

  test('of several chunks, an empty one, and one of any name come whole', async () => {
    const whole = await get(urlOf('large', 'large'))
    expect(Buffer.compare(Buffer.from(await whole.arrayBuffer()), large)).toBe(0)
    expect(await (await get(urlOf('empty.txt'))).text()).toBe('')
    expect(await (await get(urlOf(hostileName))).text()).toBe('hostile')
    expect(await (await get(urlOf('with blanks & %41.txt'))).text()).toBe('odd')
    expect(await (await get(urlOf('é/日'))).text()).toBe('unicode')
    expect(await (await get(urlOf('a.csv', 'master^0'))).text()).toBe('x,y\n')
  })

  test('is shown instead of stored when the URL says so', async () => {
    const disposition = async (query: string): Promise<string | null> =>
      (await get(`${urlOf('page.html')}${query}`)).headers.get('content-disposition')
    for (const query of ['', '?download', '?download=true', '?download=1']) {
      expect(await disposition(query)).toBe('attachment; filename="page.html"')
    }
    for (const query of ['?download=false', '?download=0']) {
      expect(await disposition(query)).toBe('inline; filename="page.html"')
    }
    const shown = await get(`${urlOf('page.html')}?download=false`)
    expect(shown.headers.get('content-security-policy')).toMatch(/^sandbox; default-src 'none'/)
    const wrong = await get(`${urlOf('page.html')}?download=maybe`)
    expect([wrong.status, await wrong.json()]).toEqual([
      400,
      { kind: 'invalid-argument', error: expect.stringContaining('write true or false') as string },
    ])
  })

  test('has the same headers for HEAD, and no body', async () => {
    const whole = await get(urlOf('large', 'large'))
    await whole.arrayBuffer()
    const head = await fetch(urlOf('large', 'large'), {
      method: 'HEAD',
      headers: { range: 'bytes=0-1' },
    })
    expect([head.status, (await head.arrayBuffer()).byteLength]).toEqual([200, 0])
    expect(headersOf(head)).toEqual(headersOf(whole))
    const heard = await say(
      request('/v1/pfs/repos/r/commits/master/files/a.csv').replace('GET', 'HEAD'),
    )
    expect(heard).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(heard).toMatch(/\r\n\r\n$/)
  })

  test('is not sent again to who has it', async () => {
    const first = await get(urlOf('a.csv'))
    const etag = first.headers.get('etag') ?? ''
    const again = await get(urlOf('a.csv'), { 'if-none-match': `"x", W/${etag}` })
    expect([again.status, await again.text(), again.headers.get('etag')]).toEqual([304, '', etag])
    expect((await get(urlOf('a.csv'), { 'if-none-match': '"x"' })).status).toBe(200)
    const failed = await get(urlOf('a.csv'), { 'if-match': '"x"' })
    expect([failed.status, await failed.json()]).toMatchObject([
      412,
      { kind: 'failed-precondition' },
    ])
  })
})

describe('a range', () => {
  const size = large.length
  const half = Math.floor(size / 2)

  test.each([
    ['bytes=0-99', 0, 100],
    [`bytes=${half}-${half + 2 * mib - 1}`, half, half + 2 * mib],
    [`bytes=${size - 10}-`, size - 10, size],
    ['bytes=-7', size - 7, size],
    [`bytes=0-${size * 2}`, 0, size],
    [`bytes=-${size * 2}`, 0, size],
  ])('%s comes as it is in the file', async (range, start, end) => {
    const part = await get(urlOf('large', 'large'), { range })
    expect([part.status, part.headers.get('content-range')]).toEqual([
      206,
      `bytes ${start}-${end - 1}/${size}`,
    ])
    const bytes = Buffer.from(await part.arrayBuffer())
    expect(part.headers.get('content-length')).toBe(String(bytes.length))
    expect(Buffer.compare(bytes, large.subarray(start, end))).toBe(0)
  })

  test.each([`bytes=${size}-`, 'bytes=-0', 'bytes=0-1,5-9'])('%s is refused', async (range) => {
    const refused = await get(urlOf('large', 'large'), { range })
    expect(refused.status).toBe(416)
    expect(refused.headers.get('content-range')).toBe(`bytes */${size}`)
    expect(await refused.json()).toMatchObject({ kind: 'invalid-argument' })
  })

  test('of something else than bytes, or that makes no sense, is passed over', async () => {
    for (const range of ['lines=0-1', 'bytes=x', 'bytes=5-1']) {
      const whole = await get(urlOf('a.csv'), { range })
      expect([whole.status, await whole.text()]).toEqual([200, 'x,y\n'])
    }
    expect((await get(urlOf('empty.txt'), { range: 'bytes=-5' })).status).toBe(200)
    expect((await get(urlOf('empty.txt'), { range: 'bytes=0-' })).status).toBe(416)
  })

  test('is of the file that the caller has a part of, or all of the new one comes', async () => {
    const etag = (await get(urlOf('a.csv'))).headers.get('etag') ?? ''
    const ranged = async (condition: string): Promise<readonly unknown[]> => {
      const headers = { range: 'bytes=1-', 'if-range': condition }
      const response = await get(urlOf('a.csv'), headers)
      return [response.status, await response.text()]
    }
    expect(await ranged(etag)).toEqual([206, ',y\n'])
    for (const other of ['"x"', `W/${etag}`, new Date().toUTCString()]) {
      expect(await ranged(other)).toEqual([200, 'x,y\n'])
    }
  })
})

describe('a directory', () => {
  interface Listed {
    readonly entries: readonly {
      readonly name: string
      readonly type: string
      readonly sizeBytes: number
      readonly fileCount?: number
    }[]
    readonly [name: string]: unknown
  }

  test('is listed as JSON, each entry on a line', async () => {
    const response = await get(urlOf('d'))
    const text = await response.text()
    const listed = JSON.parse(text) as Listed
    expect(listed).toMatchObject({ repo: 'r', commit: id, path: '/d', type: 'dir', fileCount: 2 })
    expect(listed['finished']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(listed.entries).toMatchObject([
      { name: 'f', type: 'file', sizeBytes: 4 },
      { name: 'sub', type: 'dir', sizeBytes: 4, fileCount: 1 },
    ])
    expect(text.split('\n')).toHaveLength(5)
    expect(response.headers.get('content-type')).toBe('application/json')
    for (const path of ['', 'd/', 'd//', 'd/sub/..']) {
      expect((await get(urlOf(path))).status).toBe(200)
    }
  })

  test('of many entries comes whole', async () => {
    const listed = (await (await get(urlOf('many', 'large'))).json()) as Listed
    expect(listed.entries).toHaveLength(5000)
    expect(new Set(listed.entries.map(({ name }) => name)).size).toBe(5000)
    const text = await (await get(urlOf('many', 'large'), page)).text()
    expect(text.match(/<tr>/g)).toHaveLength(5001)
    expect(text).toContain('</table>')
  })

  test('is a page for browsers, in which names are nothing but names', async () => {
    const response = await get(urlOf(''), { accept: 'text/html,*/*;q=0.8' })
    const text = await response.text()
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(response.headers.get('vary')).toBe('accept')
    expect(response.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/]+=*'; /,
    )
    expect(text).not.toMatch(/<img|<script|onerror="|\u202e/)
    expect(text).toContain(
      '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;&#39;\\u000a\\u202egnp.exe',
    )
    // What its style is, and the hash that the policy has of it.
    const style = /<style>([^]*)<\/style>/.exec(text)?.[1] ?? ''
    const digest = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(style)))
    expect(response.headers.get('content-security-policy')).toContain(digest.toString('base64'))
  })

  test('has a format that the URL may name, and a tag that changes with it', async () => {
    const json = await get(`${urlOf('d')}?format=json`, page)
    const html = await get(`${urlOf('d')}?format=html`)
    expect(await json.json()).toMatchObject({ path: '/d' })
    expect(await html.text()).toMatch(/^<!doctype html>/)
    const etag = json.headers.get('etag') ?? ''
    expect(etag).not.toBe(html.headers.get('etag'))
    const again = await get(`${urlOf('d')}?format=json`, { 'if-none-match': etag })
    expect([again.status, await again.text()]).toEqual([304, ''])
    const wrong = await get(`${urlOf('d')}?format=xml`)
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { kind: 'invalid-argument' }])
  })

  test('leads, link by link, to everything, at whatever URL it is', async () => {
    const origin = `http://127.0.0.1:${pachd.httpPort}`
    const waiting = [`${origin}/`]
    const seen = new Set(waiting)
    const files = new Set<string>()
    for (;;) {
      const url = waiting.pop()
      if (url === undefined) break
      const response = await fetch(url, { headers: page })
      expect([url, response.status]).toEqual([url, 200])
      if (!(response.headers.get('content-security-policy') ?? '').startsWith('default-src')) {
        files.add(new URL(url).pathname)
        await response.arrayBuffer()
        continue
      }
      for (const [, href = ''] of (await response.text()).matchAll(/href="([^"]*)"/g)) {
        const next = new URL(href.replaceAll('&#39;', "'"), response.url).href
        expect(next.startsWith(`${origin}/v1/pfs/repos/`)).toBe(true)
        if (seen.has(next) || next.includes('/many/') || next.includes('format=json')) continue
        seen.add(next)
        waiting.push(next)
      }
    }
    // By the branch and by the id.
    for (const commit of ['master', id]) {
      expect(files).toContain(new URL(urlOf('é/日', commit)).pathname)
      expect(files).toContain(new URL(urlOf('d/sub/deep.txt', commit)).pathname)
    }
  })

  test('of repos and commits there are lists, too', async () => {
    const base = `http://127.0.0.1:${pachd.httpPort}/v1/pfs/repos`
    expect(await (await get(base)).json()).toMatchObject({
      repos: [{ name: 'r' }, { name: 'empty', sizeBytes: 0 }],
    })
    const repo = (await (await get(`${base}/r`)).json()) as Record<string, readonly object[]>
    expect(repo['branches']).toContainEqual({ name: 'master', head: id })
    expect(repo['commits']).toHaveLength(2)
    expect(await (await get(`${base}/empty/commits/`)).json()).toMatchObject({ commits: [] })
    const redirect = await get(`${base}/r/commits/master`)
    expect(redirect.status).toBe(308)
    expect((await fetch(`${base}/r/commits/master`, { headers: page })).url).toBe(urlOf(''))
  })
})

describe('what is refused', () => {
  test.each([
    ['r/commits/master/files/none', 404, 'not-found', 'file /none not found in repo r at commit'],
    ['r/commits/none/files/a.csv', 404, 'not-found', 'pachyderm_pfs/commits/r/ none not found'],
    ['none/commits/master/files/a.csv', 404, 'not-found', 'pachyderm_pfs/repos/ none not found'],
    ['none', 404, 'not-found', 'repos/ none not found'],
    ['r/commits/none', 404, 'not-found', 'none not found'],
    ['r/branches', 404, 'not-found', 'there is nothing at'],
    ['r/commits/master/files/a%00b', 400, 'invalid-argument', 'null character'],
    ['r/commits/master/files/%ff', 400, 'invalid-argument', 'is not UTF-8'],
    ['r/commits/master/files/%2e%2e%2f%2e%2e/etc', 400, 'invalid-argument', 'out of the root'],
    [`r/commits/master/files/${'x'.repeat(1025)}`, 400, 'invalid-argument', 'too long'],
  ])('%s: %i', async (path, status, kind, text) => {
    const response = await get(`http://127.0.0.1:${pachd.httpPort}/v1/pfs/repos/${path}`)
    expect([response.status, await response.json()]).toEqual([
      status,
      { kind, error: expect.stringContaining(text) as string },
    ])
  })

  test('is told on a page to who reads pages, without what it was asked for as markup', async () => {
    const response = await get(urlOf('<script>'), page)
    const text = await response.text()
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(text).toContain('&lt;script&gt;')
    expect(text).not.toContain('<script>')
  })

  test.each(['POST', 'PUT', 'DELETE', 'PATCH'])('%s, with what is possible', async (method) => {
    const body = method === 'DELETE' ? null : 'x'.repeat(100_000)
    const response = await fetch(urlOf('a.csv'), { method, body })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
    expect(await response.json()).toMatchObject({ kind: 'unimplemented' })
  })

  test('OPTIONS are told', async () => {
    const response = await fetch(urlOf('a.csv'), { method: 'OPTIONS' })
    expect([response.status, response.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS'])
  })
})

describe('whoever speaks HTTP otherwise than well', () => {
  const target = '/v1/pfs/repos/r/commits/master/files'

  test('climbs out of nothing', async () => {
    for (const path of ['/../../../../etc/passwd', '/..', '/a/../../x', '/d/..%2f..%2fx']) {
      expect(await say(request(`${target}${path}`))).toMatch(/^HTTP\/1\.1 400 /)
    }
    expect(await say(request(`/../..${target}/a.csv`))).toMatch(/^HTTP\/1\.1 404 /)
    expect(await say(request(`${target}/d/../a.csv`))).toMatch(/^HTTP\/1\.1 200 /)
  })

  test('gets an answer through a proxy, and in the words of 1996', async () => {
    expect(await say(request(`http://elsewhere${target}/a.csv`))).toMatch(/x,y\n$/)
    const old = `GET ${target}/a.csv HTTP/1.0\r\n\r\n`
    expect(await say(old)).toMatch(/^HTTP\/1\.1 200 OK[^]*x,y\n$/)
  })

  test('may not send a body, with which the connection ends', async () => {
    const withBody = request(`${target}/a.csv`, 'content-length: 1000000').replace(
      'connection: close\r\n',
      '',
    )
    expect(await say(withBody)).toMatch(/^HTTP\/1\.1 400 /)
    const chunked = request(`${target}/a.csv`, 'transfer-encoding: chunked')
    expect(await say(`${chunked}5\r\nhello\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('gets answers in the order of the requests, of which a few may be on their way', async () => {
    const keep = (path: string): string => `GET ${target}/${path} HTTP/1.1\r\nhost: here\r\n\r\n`
    const answered = await say(
      keep('a.csv') + keep('d/f') + keep('none') + request(`${target}/empty.txt`),
    )
    expect(answered.match(/HTTP\/1\.1 \d+/g)).toEqual([
      'HTTP/1.1 200',
      'HTTP/1.1 200',
      'HTTP/1.1 404',
      'HTTP/1.1 200',
    ])
    expect(answered.indexOf('x,y')).toBeLessThan(answered.indexOf('in d'))
    const flood = await open()
    flood.write(keep('a.csv').repeat(5000))
    flood.resume()
    await closed(flood)
  })

  test.each([
    ['garbage', '\u0016\u0003\u0001\u0002 nonsense\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'endless headers',
      `GET / HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`,
      /^(?:HTTP\/1\.1 431 |$)/,
    ],
    ['two lengths', request('/', 'content-length: 1', 'content-length: 2'), /^HTTP\/1\.1 400 /],
    ['HTTP/2 where there is none', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^(?:HTTP\/1\.1 400 |$)/],
  ])('with %s gets an error', async (_what, text, answer) => {
    expect(await say(text)).toMatch(answer)
  })

  test('and hurts nobody else', async () => {
    for (const text of ['', 'G', 'GET /v1', request(`${target}/large`).slice(0, 30)]) {
      const socket = await open()
      socket.write(text)
      socket.resetAndDestroy()
    }
    const slow = await open()
    slow.pause()
    slow.write(request('/v1/pfs/repos/r/commits/large/files/large'))
    expect((await get(urlOf('a.csv'))).status).toBe(200)
    slow.destroy()
    expect(pachd.log.filter((line) => line.includes(' error '))).toEqual([])
  })
})

test('a file that is damaged is told as such, or breaks off where it is', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  {
    await using whole = await TestPachd.start({ root })
    await whole.pfs.createRepo({ repo: { name: 'r' } })
    const { id: commit } = await whole.pfs.startCommit({
      parent: commitOf('r', ''),
      branch: 'master',
    })
    await putFiles(whole.transport, { repo: 'r', id: commit }, [{ path: 'large', bytes: large }])
    await whole.pfs.finishCommit({ commit: commitOf('r', commit) })
  }
  await using damaged = await TestPachd.start({ root })
  const url = `http://127.0.0.1:${damaged.httpPort}/v1/pfs/repos/r/commits/master/files/large`
  const [pack = ''] = (await readdir(join(root, 'objects'), { recursive: true }))
    .map((name) => join(root, 'objects', name))
    .filter((path) => statSync(path).size > mib)
  await using file = await openFile(pack, 'r+')
  await file.write(Buffer.from('wrong'), 0, 5, 5 * mib - 1000)
  const late = await get(url)
  expect([late.status, late.headers.get('content-length')]).toEqual([200, String(large.length)])
  await expect(late.arrayBuffer()).rejects.toThrow('terminated')
  const early = await get(url, { range: 'bytes=-100' })
  expect([early.status, await early.json()]).toEqual([
    500,
    { kind: 'data-loss', error: expect.stringContaining('is damaged') as string },
  ])
})
