import { lookup } from 'node:dns'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, LookupFunction } from 'node:net'
import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import { PermissionDeniedError, UnavailableError } from '../../base/errors.ts'
import { SystemRandom } from '../../base/random.ts'
import { ReachGuard } from '../reach.ts'
import { resumedBytes } from '../resumed-bytes.ts'
import { HttpClient } from './http-client.ts'
import { HttpFile } from './http-file.ts'

const { signal } = new AbortController()

async function listening(server: Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
}

function clientOf(guard: ReachGuard): HttpClient {
  return new HttpClient({ clock: new SystemClock(), guard, userAgent: 'test' })
}

/** Of all names, one is taken for public, and means this machine. */
const lookupHere: LookupFunction = (name, options, callback) => {
  if (name !== 'public.test') return lookup('127.0.0.1', options, callback)
  return callback(null, [{ address: '127.0.0.1', family: 4 }])
}

test.each(['127.0.0.1', '[::ffff:127.0.0.1]', '2130706433', '169.254.169.254'])(
  'a public address does not lead on to %s',
  async (host) => {
    const seen: string[] = []
    const server = createServer((request, response) => {
      seen.push(request.url ?? '')
      response.writeHead(302, { location: `http://${host}:${port}/inside` }).end()
    })
    const port = await listening(server)
    await using _ = { [Symbol.asyncDispose]: () => closed(server) }
    const guard = Object.assign(new ReachGuard('public'), { lookup: lookupHere })
    using client = clientOf(guard)
    const got = client.get(new URL(`http://public.test:${port}/start`), {}, signal)
    await expect(got).rejects.toThrow(PermissionDeniedError)
    expect(seen).toEqual(['/start'])
  },
)

test('nor to a name that means an address which is not', async () => {
  const server = createServer((_request, response) => {
    response.writeHead(302, { location: `http://private.test:${port}/inside` }).end()
  })
  const port = await listening(server)
  await using _ = { [Symbol.asyncDispose]: () => closed(server) }
  const real = new ReachGuard('public', ((_name: string, options: object, callback: never) =>
    lookup('127.0.0.1', options, callback)) as unknown as typeof lookup)
  const { lookup: checked } = real
  const guard = Object.assign(real, {
    lookup: (...[name, ...rest]: Parameters<LookupFunction>) =>
      (name === 'public.test' ? lookupHere : checked)(name, ...rest),
  })
  using client = clientOf(guard)
  const got = client.get(new URL(`http://public.test:${port}/start`), {}, signal)
  await expect(got).rejects.toThrow('it is 127.0.0.1, no public address')
})

/** A server that ends in the midst of its first body, and begins again when `restart` is called. */
async function openRestarting() {
  const content = Buffer.from('0123456789')
  const answer = (response: ServerResponse, start: number): void => {
    response.writeHead(start === 0 ? 200 : 206, {
      etag: '"a"',
      'content-length': content.length - start,
      ...(start > 0 && { 'content-range': `bytes ${start}-9/10` }),
    })
    response.end(content.subarray(start))
  }
  const first = createServer((_request, response) => {
    response.writeHead(200, { etag: '"a"', 'content-length': content.length })
    response.write(content.subarray(0, 4), () => void closed(first))
  })
  const second = createServer(({ headers }, response) => {
    answer(response, Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0))
  })
  const port = await listening(first)
  return {
    url: new URL(`http://127.0.0.1:${port}/x`),
    restart: async () => void (await listening(second, port)),
    [Symbol.asyncDispose]: async () => {
      if (second.listening) await closed(second)
      if (first.listening) await closed(first)
    },
  }
}

async function read(url: URL, onPause: (count: number) => Promise<void>): Promise<string> {
  const stallMs = 60_000
  const clock = new SystemClock()
  let pauseCount = 0
  const pausing = Object.assign(new SystemClock(), {
    sleep: async (ms: number, stop?: AbortSignal) => {
      if (ms >= stallMs) return clock.sleep(ms, stop)
      pauseCount += 1
      return onPause(pauseCount)
    },
  })
  using client = clientOf(new ReachGuard('any'))
  const request = { url, headers: {} }
  const file = new HttpFile({ client, name: url.href, request: async () => request }, '')
  const patience = { stallMs, attemptsMax: 4, pauseMs: 1 }
  const ports = { clock: pausing, random: new SystemRandom(), patience }
  const pieces: Uint8Array[] = []
  for await (const piece of resumedBytes(ports, file, { name: url.href, signal })) {
    pieces.push(Uint8Array.from(piece))
  }
  return Buffer.concat(pieces).toString()
}

test('a server that is started anew in the midst of a body is waited for', async () => {
  await using server = await openRestarting()
  const text = await read(server.url, async (count) => {
    if (count === 2) await server.restart()
  })
  expect(text).toBe('0123456789')
})

test('one that does not come back is given up, and one that was never there at once', async () => {
  await using server = await openRestarting()
  const pauses: number[] = []
  const broken = read(server.url, async (count) => void pauses.push(count))
  await expect(broken).rejects.toThrow('(after 4 bytes), tried 4 times: cannot fetch')
  expect(pauses).toEqual([1, 2, 3])
  pauses.length = 0
  const absent = read(server.url, async (count) => void pauses.push(count))
  await expect(absent).rejects.toThrow(UnavailableError)
  expect(pauses).toEqual([])
})

test('an answer whose headers are too long is none that another attempt makes better', async () => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { long: 'x'.repeat(500_000) }).end()
  })
  const port = await listening(server)
  await using _ = { [Symbol.asyncDispose]: () => closed(server) }
  using client = clientOf(new ReachGuard('any'))
  const got = client.get(new URL(`http://127.0.0.1:${port}/`), {}, signal)
  await expect(got).rejects.toThrow(UnavailableError)
  await expect(got).rejects.toThrow('the headers of its answer are too long')
})
