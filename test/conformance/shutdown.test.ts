import { expect, test } from 'vitest'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { SystemClock } from '../../src/base/clock.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { Log } from '../../src/server/log.ts'
import { openServer, type Server } from '../../src/server/server.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { collect, commitFiles, commitOf, fileOf, putFile } from '../harness/files.ts'
import { TestClient } from '../harness/test-pachd.ts'

const graceMs = 200
/** What a busy machine may add. */
const busyMs = 30_000

test('a server that stops ends waiting calls after the grace, and lets running ones finish', async () => {
  await using directory = await TemporaryDirectory.create()
  const clock = new SystemClock()
  const log = new Log(clock, () => undefined)
  const config = { root: directory.join('data'), host: '127.0.0.1', port: 0 }
  const ports = { clock, random: new SystemRandom(), log, release: 'test' }
  await using server = await openServer(config, ports)
  await using client = new TestClient(server.address.port)
  await client.pfs.createRepo({ repo: { name: 'r' } })
  await commitFiles(client, { repo: 'r', branch: 'master' }, { a: '1' })
  await client.pfs.startCommit({ parent: commitOf('r', ''), branch: 'open' })

  const closing = Promise.withResolvers<undefined>()
  const request = { repo: { name: 'r' }, branch: 'later' }
  const waiting = collect(client.pfs.subscribeCommit(request))
  async function* halfOfPut() {
    yield { file: fileOf('r', 'open', 'f'), value: Buffer.from('one ') }
    await closing.promise
    yield { value: Buffer.from('two') }
  }
  const running = client.pfs.putFile(halfOfPut())
  const ended = Promise.allSettled([waiting, running])
  await client.health.health({})

  const startedMs = clock.monotonicMs()
  const closed = server.close(graceMs)
  closing.resolve(undefined)
  const [subscription, put] = await ended
  await closed
  expect(subscription).toMatchObject({ status: 'rejected', reason: { code: Code.unavailable } })
  expect(put).toMatchObject({ status: 'fulfilled' })
  expect(clock.monotonicMs() - startedMs).toBeLessThan(graceMs + busyMs)
  await expect(putFile(client, fileOf('r', 'open', 'g'), 'x')).rejects.toMatchObject({
    code: Code.unavailable,
  })
})

/** A server with a file that is larger than what connections hold. */
async function serveLargeFile(opened: AsyncDisposableStack): Promise<{
  readonly server: Server
  readonly port: number
  readonly target: string
}> {
  const directory = opened.use(await TemporaryDirectory.create())
  const clock = new SystemClock()
  const log = new Log(clock, () => undefined)
  const address = { host: '127.0.0.1', port: 0 }
  const http = { ...address, isAsked: true }
  const config = { root: directory.join('data'), ...address, http }
  const ports = { clock, random: new SystemRandom(), log, release: 'test' }
  const server = opened.use(await openServer(config, ports))
  await using client = new TestClient(server.address.port)
  await client.pfs.createRepo({ repo: { name: 'r' } })
  await client.pfs.startCommit({ parent: commitOf('r', ''), branch: 'master' })
  const half = new Uint8Array(largeBytes / 2)
  await putFile(client, fileOf('r', 'master', 'large'), [half, half])
  const target = '/v1/pfs/repos/r/commits/master/files/large'
  return { server, port: server.httpAddress?.port ?? 0, target }
}

const largeBytes = 30_000_000

async function ask(port: number, target: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(`GET ${target} HTTP/1.1\r\nhost: here\r\n\r\n`)
  await once(socket, 'readable')
  return socket
}

test('an answer by HTTP that is on its way comes to its end, idle connections are closed', async () => {
  await using opened = new AsyncDisposableStack()
  const { server, port, target } = await serveLargeFile(opened)
  const running = await fetch(`http://127.0.0.1:${port}${target}`)
  const idles = await Promise.all(
    [port, server.address.port].map(async (each) => ask(each, '/v1/pfs/repos')),
  )
  const idle = Promise.all(idles.map(async (socket) => once(socket.resume(), 'close')))
  const closing = server.close(60_000)
  await idle
  expect((await running.arrayBuffer()).byteLength).toBe(largeBytes)
  await closing
  await expect(fetch(`http://127.0.0.1:${port}${target}`)).rejects.toThrow('fetch failed')
})

test('a caller by HTTP that does not read holds up a stop for the grace only', async () => {
  await using opened = new AsyncDisposableStack()
  const { server, port, target } = await serveLargeFile(opened)
  const stalled = await ask(port, target)
  await server.close(graceMs)
  let takenBytes = 0
  stalled.on('data', (bytes: Buffer) => (takenBytes += bytes.length))
  await once(stalled, 'close')
  expect(takenBytes).toBeLessThan(largeBytes)
})
