import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { CancelledError } from '../../base/errors.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { CallerBudget } from '../grpc/caller-budget.ts'
import { Exchange } from './exchange.ts'

const mib = 1024 * 1024
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

/** A body of any size, and how much of it was read. */
class Body {
  readBytes = 0
  isClosed = false
  readonly #sizeBytes: number

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    try {
      while (this.readBytes < this.#sizeBytes) {
        await Promise.resolve()
        this.readBytes += mib
        yield new Uint8Array(mib)
      }
    } finally {
      this.isClosed = true
    }
  }
}

interface Served {
  readonly port: number
  readonly clock: HeldClock
  readonly errors: unknown[]
}

async function serve(
  respond: (exchange: Exchange) => Promise<void>,
  budgetBytes = 256 * mib,
): Promise<Served> {
  const clock = new HeldClock()
  const budget = new CallerBudget({ bytesMax: budgetBytes }, clock, 'download')
  const errors: unknown[] = []
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const exchange = new Exchange(request, response, { clock, budget })
    respond(exchange).catch((error: unknown) => errors.push(error))
  }
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => server.close())
  return { port: (server.address() as AddressInfo).port, clock, errors }
}

/** Asks, and reads nothing of the answer. */
async function ask(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  cleanups.push(() => socket.destroy())
  await once(socket, 'connect')
  socket.pause()
  socket.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n')
  return socket
}

test('a body is read as fast as the caller takes it, and no faster', async () => {
  const body = new Body(1024 * mib)
  const { port } = await serve(async (exchange) =>
    exchange.stream(200, {}, { bytes: body.bytes(), heldBytes: mib }),
  )
  await ask(port)
  await vi.waitFor(() => expect(body.readBytes).toBeGreaterThan(0), { timeout: 60_000 })
  let before = -1
  while (before !== body.readBytes) {
    before = body.readBytes
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  // What the two ends of the connection hold, in the system.
  expect(body.readBytes).toBeLessThan(64 * mib)
})

test('a caller that takes nothing for two minutes is dropped, and its body closed', async () => {
  const body = new Body(1024 * mib)
  const { port, clock, errors } = await serve(async (exchange) =>
    exchange.stream(200, {}, { bytes: body.bytes(), heldBytes: mib }),
  )
  const socket = await ask(port)
  await vi.waitFor(() => expect(clock.sleeperCount).toBe(1), { timeout: 60_000 })
  clock.advance(119_999)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(body.isClosed).toBe(false)
  clock.advance(1)
  socket.resume()
  await once(socket, 'close')
  await vi.waitFor(() => expect(body.isClosed).toBe(true), { timeout: 60_000 })
  expect(errors).toEqual([expect.any(CancelledError)])
  expect(clock.sleeperCount).toBe(0)
})

test('who waits for memory gets that of a caller who stalls, after ten seconds', async () => {
  const bodies = [new Body(1024 * mib), new Body(mib)]
  let count = 0
  const { port, clock } = await serve(async (exchange) => {
    const body = bodies[count] ?? new Body(0)
    count += 1
    await exchange.stream(200, {}, { bytes: body.bytes(), heldBytes: 6 * mib })
  }, 6 * mib)
  const stalled = await ask(port)
  await vi.waitFor(() => expect(clock.sleeperCount).toBe(1), { timeout: 60_000 })
  const second = fetch(`http://127.0.0.1:${port}/`)
  // The patrol sleeps, too.
  await vi.waitFor(() => expect(clock.sleeperCount).toBe(2), { timeout: 60_000 })
  expect(bodies[1]?.readBytes).toBe(0)
  clock.advance(10_000)
  expect((await (await second).arrayBuffer()).byteLength).toBe(mib)
  stalled.resume()
  await once(stalled, 'close')
})

test('a caller that leaves while it waits for memory leaves nothing behind', async () => {
  const { port, clock, errors } = await serve(async (exchange) => {
    const body = new Body(1024 * mib)
    await exchange.stream(200, {}, { bytes: body.bytes(), heldBytes: 6 * mib })
  }, 6 * mib)
  const holder = await ask(port)
  await vi.waitFor(() => expect(clock.sleeperCount).toBe(1), { timeout: 60_000 })
  const waiter = await ask(port)
  await vi.waitFor(() => expect(clock.sleeperCount).toBe(2), { timeout: 60_000 })
  waiter.destroy()
  await vi.waitFor(() => expect(errors).toHaveLength(1), { timeout: 60_000 })
  holder.destroy()
  await vi.waitFor(() => expect(errors).toHaveLength(2), { timeout: 60_000 })
  expect(clock.sleeperCount).toBe(0)
})

test('what fails before its first byte can still be answered; later, the connection breaks off', async () => {
  const { port } = await serve(async (exchange) => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      await Promise.resolve()
      if (exchange.request.url === '/late') yield new Uint8Array(100_000)
      throw new Error('damaged')
    }
    try {
      await exchange.stream(200, { 'content-length': 200_000 }, { bytes: failing(), heldBytes: 0 })
    } catch {
      if (exchange.hasBegun) exchange.abandon()
      else exchange.answer(500, {}, 'sorry')
    }
  })
  const early = await fetch(`http://127.0.0.1:${port}/`)
  expect([early.status, await early.text()]).toEqual([500, 'sorry'])
  const late = await fetch(`http://127.0.0.1:${port}/late`)
  expect(late.status).toBe(200)
  await expect(late.arrayBuffer()).rejects.toThrow('terminated')
})

test('to HEAD, the headers alone are said, and nothing is read', async () => {
  const body = new Body(mib)
  const { port } = await serve(async (exchange) =>
    exchange.stream(
      200,
      { 'content-length': mib, etag: '"x"' },
      { bytes: body.bytes(), heldBytes: mib },
    ),
  )
  const head = await fetch(`http://127.0.0.1:${port}/`, { method: 'HEAD' })
  expect(head.headers.get('content-length')).toBe(String(mib))
  expect(head.headers.get('etag')).toBe('"x"')
  expect(await head.text()).toBe('')
  expect(body.readBytes).toBe(0)
})
