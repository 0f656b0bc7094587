import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { status, type ServiceError } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { InvalidArgumentError, UnavailableError } from '../base/errors.ts'
import { API as Pfs } from '../gen/pfs_pb.ts'
import { API as Version } from '../gen/version_pb.ts'
import { GrpcFixture } from '../testing/grpc-fixture.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { service } from './grpc/service.ts'
import type { Listener } from './listener.ts'

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

const version = service(Version, { getVersion: async () => ({ major: 1 }) })

async function majorOf(listener: Listener): Promise<number> {
  return (await fixture.client(listener.address.port).unary(Version.method.getVersion, {}).response)
    .major
}

async function socket(listener: Listener): Promise<Socket> {
  const made = connect(listener.address.port, '127.0.0.1')
  made.on('error', () => {})
  fixture.onClose(() => made.destroy())
  await once(made, 'connect')
  return made
}

async function saidBy(made: Socket): Promise<string> {
  let text = ''
  made.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1')
  })
  await once(made, 'close')
  return text
}

test('gRPC and HTTP/1.1 are spoken on one port', async () => {
  const listener = await fixture.listen(version)
  const url = `http://127.0.0.1:${listener.address.port}`
  const page = await fetch(url)
  expect([page.status, await page.text()]).toEqual([
    200,
    expect.stringContaining(`ADDRESS=127.0.0.1:${listener.address.port}`),
  ])
  const missing = await fetch(`${url}/nothing`, { method: 'POST', body: 'x'.repeat(100_000) })
  expect([missing.status, await missing.json()]).toEqual([
    404,
    expect.objectContaining({ error: 'there is nothing at /nothing' }),
  ])
  expect(await majorOf(listener)).toBe(1)
})

test('a caller may begin byte by byte, in either language', async () => {
  const listener = await fixture.listen(version)
  const slow = async (text: string): Promise<Socket> => {
    const made = await socket(listener)
    made.setNoDelay(true)
    for (const byte of Buffer.from(text)) {
      made.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    return made
  }
  const http1 = await slow('PUT / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n')
  expect(await saidBy(http1)).toMatch(/^HTTP\/1\.1 200 OK/)
  // The connection preface, and an empty SETTINGS frame.
  const http2 = await slow('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0')
  const [answer] = (await once(http2, 'data')) as [Buffer]
  expect(answer[3]).toBe(4) // SETTINGS
})

test('garbage, half sentences and sudden silence hurt nobody else', async () => {
  const listener = await fixture.listen(version)
  const garbage = await socket(listener)
  garbage.write(Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) % 256)))
  expect(await saidBy(garbage)).toMatch(/^HTTP\/1\.1 400/)
  const badHttp2 = await socket(listener)
  badHttp2.write(
    Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.alloc(999, 9)]),
  )
  await saidBy(badHttp2)
  const badPreface = await socket(listener)
  badPreface.write('PRINT THIS PLEASE, IT IS LONGER THAN A PREFACE\r\n\r\n')
  await saidBy(badPreface)
  for (const start of [
    '',
    'P',
    'PRI',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET / HT',
    '\u0016\u0003\u0001',
  ]) {
    const made = await socket(listener)
    if (start !== '') made.write(start, 'latin1')
    await new Promise((resolve) => setImmediate(resolve))
    made.resetAndDestroy()
  }
  const silent = await socket(listener)
  expect(await majorOf(listener)).toBe(1)
  expect(silent.destroyed).toBe(false)
})

test('a taken port and a strange host are refused with advice', async () => {
  const { port } = (await fixture.listen(version)).address
  const taken = fixture.listen([], { port })
  await expect(taken).rejects.toThrow(UnavailableError)
  await expect(taken).rejects.toThrow(`port ${port}: another program does`)
  await expect(fixture.listen([], { host: '192.0.2.1' })).rejects.toThrow(InvalidArgumentError)
})

test('closing lets running calls come to their end, and takes no more', async () => {
  const go = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const listener = await fixture.listen(
    service(Pfs, {
      async inspectRepo() {
        started.resolve()
        await go.promise
        return { description: 'done' }
      },
    }),
  )
  const running = fixture.client(listener.address.port).unary(Pfs.method.inspectRepo, {}).response
  await started.promise
  const idle = await socket(listener)
  idle.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n')
  await once(idle, 'data')
  const closing = listener.close(20_000)
  await once(idle.resume(), 'close')
  const late = await fixture
    .client(listener.address.port)
    .unary(Pfs.method.inspectRepo, {})
    .response.catch((error: ServiceError) => error.code)
  expect(late).toBe(status.UNAVAILABLE)
  go.resolve()
  expect((await running).description).toBe('done')
  await closing
})

test('closing ends calls that take too long as unavailable, and idle connections', async () => {
  const started = Promise.withResolvers<void>()
  const aborted = Promise.withResolvers<void>()
  const listener = await fixture.listen(
    service(Pfs, {
      inspectRepo: async (_request, { signal }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => aborted.resolve())
          started.resolve()
        }),
    }),
  )
  const silent = await socket(listener)
  await fetch(`http://127.0.0.1:${listener.address.port}/`)
  const { response } = fixture.client(listener.address.port).unary(Pfs.method.inspectRepo, {})
  const outcome = response.catch((error: ServiceError) => [error.code, error.details])
  await started.promise
  await listener.close(10)
  await aborted.promise
  expect(await outcome).toEqual([status.UNAVAILABLE, 'the server is shutting down'])
  if (!silent.destroyed) await once(silent, 'close')
})

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
// Of type 4, SETTINGS, and of type 1, HEADERS: the first, empty, half of a block of which no end comes.
const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
const endlessHeaders = Buffer.from([0, 0, 1, 1, 0, 0, 0, 0, 1, 0x83])

test('connections of HTTP/2 that never finish a sentence are closed, idle ones are not', async () => {
  const clock = new HeldClock()
  const listener = await fixture.listen(version, { clock })
  const idle = fixture.session(listener.address.port)
  await once(idle, 'remoteSettings')
  const unfinished: Socket[] = []
  for (const start of [
    preface,
    Buffer.concat([preface, emptySettings.subarray(0, 4)]),
    Buffer.concat([preface, emptySettings, endlessHeaders]),
  ]) {
    const made = await socket(listener)
    made.write(start)
    await once(made, 'data') // the server's SETTINGS: it takes part
    made.resume()
    unfinished.push(made)
  }
  const closed = Promise.all(unfinished.map(async (made) => once(made, 'close')))
  const asked = once(idle, 'ping')
  clock.advance(60_000)
  await asked
  await new Promise<void>((resolve) => idle.ping(() => resolve())) // after its answer
  expect(unfinished.map((made) => made.destroyed)).toEqual([false, false, false])
  clock.advance(60_000)
  await closed
  await new Promise<void>((resolve) => idle.ping(() => resolve()))
  expect(idle.destroyed).toBe(false)
})

test('connections of HTTP/1.1 that never finish a request’s headers are closed', async () => {
  const clock = new HeldClock()
  const listener = await fixture.listen(version, { clock })
  const fresh = await socket(listener)
  const again = await socket(listener)
  again.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n')
  await once(again, 'data')
  for (const made of [fresh, again]) made.resume().write('GET / HTTP/1.1\r\nhost: he')
  const closed = Promise.all([once(fresh, 'close'), once(again, 'close')])
  while (clock.sleeperCount < 2) await new Promise((resolve) => setImmediate(resolve))
  expect([fresh.destroyed, again.destroyed]).toEqual([false, false])
  clock.advance(30_000)
  await closed
  expect([fresh.destroyed, again.destroyed]).toEqual([true, true])
})

test('for a connection too many, the one that is idle longest goes; of busy ones, none', async () => {
  const go = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const routes = [
    ...version,
    ...service(Pfs, {
      async inspectRepo() {
        started.resolve()
        await go.promise
        return { description: 'done' }
      },
    }),
  ]
  const listener = await fixture.listen(routes, { connectionCountMax: 2 })
  const { port } = listener.address
  const busy = fixture.client(port).unary(Pfs.method.inspectRepo, {}).response
  await started.promise
  const silent = await socket(listener)
  const silentClosed = once(silent.resume(), 'close')
  const idle = fixture.session(port)
  await silentClosed
  await once(idle, 'remoteSettings')
  const idleClosed = once(idle, 'close')
  const other = fixture.client(port).unary(Pfs.method.inspectRepo, {}).response
  await idleClosed
  await expect(majorOf(listener)).rejects.toMatchObject({ code: status.UNAVAILABLE })
  go.resolve()
  expect([(await busy).description, (await other).description]).toEqual(['done', 'done'])
  expect(await majorOf(listener)).toBe(1)
})
