import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { CancelledError } from '../../base/errors.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { CallerBudget } from '../grpc/caller-budget.ts'
import { Exchange } from '../http/exchange.ts'
import { RequestBody } from './request-body.ts'

const mib = 1024 * 1024
const sizeBytes = 100 * mib
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

interface Served {
  readonly clock: HeldClock
  readonly bodies: RequestBody[]
  readonly errors: unknown[]
  readonly socket: Socket
}

/** A server that does `use` to the body of a put, of which only the headers have been sent. */
async function serve(use: (body: RequestBody) => Promise<void>): Promise<Served> {
  const clock = new HeldClock()
  const budget = new CallerBudget({ bytesMax: 256 * mib }, clock, 'upload')
  const bodies: RequestBody[] = []
  const errors: unknown[] = []
  const signed = { payload: 'UNSIGNED-PAYLOAD', chain: undefined }
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const exchange = new Exchange(request, response, { clock, budget })
    const body = new RequestBody(exchange, signed, { clock, budget })
    bodies.push(body)
    use(body).catch((error: unknown) => errors.push(error))
  }
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => server.close())
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => undefined)
  cleanups.push(() => socket.destroy())
  await once(socket, 'connect')
  socket.write(`PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: ${sizeBytes}\r\n\r\n`)
  return { clock, bodies, errors, socket }
}

test('who sends next to nothing for two minutes is dropped, and whoever reads hears of it', async () => {
  const { clock, bodies, errors, socket } = await serve((body) =>
    body.store(async (bytes) => {
      for await (const _ of bytes);
    }),
  )
  await expect.poll(() => bodies[0]?.isWaitingForCaller).toBe(true)
  const closed = once(socket, 'close')
  socket.write('a little')
  await expect.poll(() => bodies[0]?.movedBytes).toBe(8)
  clock.advance(121_000)
  await closed
  await expect.poll(() => errors[0]).toBeInstanceOf(CancelledError)
})

test('who is kept waiting by the server is not dropped, nor is more read than is taken', async () => {
  const taken = Promise.withResolvers<void>()
  const { clock, bodies, errors, socket } = await serve((body) =>
    body.store(async (bytes) => {
      for await (const _ of bytes) await taken.promise
    }),
  )
  socket.write(Buffer.alloc(sizeBytes))
  await expect.poll(() => bodies[0]?.movedBytes).toBeGreaterThan(0)
  for (let minutes = 0; minutes < 10; minutes += 1) {
    clock.advance(60_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(bodies[0]?.movedBytes).toBeLessThan(mib)
  expect(socket.destroyed).toBe(false)
  taken.resolve()
  await expect.poll(() => bodies[0]?.movedBytes).toBe(sizeBytes)
  expect(errors).toEqual([])
})

test('of a body that is not wanted a little is taken, so that the answer is heard', async () => {
  const ends: boolean[] = []
  const { socket, bodies } = await serve(async (body) => {
    ends.push(await body.discard())
  })
  await expect.poll(() => bodies.length).toBe(1)
  socket.write(Buffer.alloc(8 * mib))
  await expect.poll(() => ends).toEqual([false])
})
