import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import { API as Pfs } from '../../gen/pfs_pb.ts'
import { framed, GrpcFixture } from '../../testing/grpc-fixture.ts'
import { service } from './service.ts'

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

async function post(port: number, path: string, body: Uint8Array, type: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body: Uint8Array.from(body),
  })
}

const empty = framed(new Uint8Array(0))
const web = 'application/grpc-web+proto'

test('an answer is the messages, and a last frame with the status', async () => {
  const port = await fixture.serve(
    service(Pfs, {
      async *getFile() {
        yield { value: Uint8Array.of(7) }
        throw new NotFoundError('größe')
      },
    }),
  )
  const response = await post(port, '/pfs.API/GetFile', empty, web)
  expect([response.status, response.headers.get('content-type')]).toEqual([200, web])
  const trailers =
    'grpc-status: 2\r\ngrpc-message: gr%C3%B6%C3%9Fe\r\npachyderm-error-kind: not-found\r\n'
  const expected = Buffer.concat([
    framed(Uint8Array.of(0x0a, 1, 7)),
    framed(Buffer.from(trailers), 0x80),
  ])
  expect(Buffer.from(await response.arrayBuffer())).toEqual(expected)
})

test('other content goes to the pages, and an unknown method is unimplemented', async () => {
  const port = await fixture.serve()
  expect((await post(port, '/pfs.API/ListRepo', empty, 'application/json')).status).toBe(404)
  const unknown = await post(port, '/pfs.API/ListRepo', empty, 'application/grpc-web')
  expect(await unknown.text()).toContain('grpc-status: 12')
})

/** A caller that has sent `head` and has not read anything. */
async function rawCaller(port: number, head: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  fixture.onClose(() => socket.destroy())
  await once(socket, 'connect')
  socket.write(head)
  return socket
}

const requestHead = (path: string, size: number): string =>
  `POST ${path} HTTP/1.0\r\ncontent-type: ${web}\r\ncontent-length: ${size}\r\n\r\n`

test('a reader that does not read stops the handler', async () => {
  let sentBytes = 0
  const port = await fixture.serve(
    service(Pfs, {
      async *getFile() {
        for (let count = 0; count < 1000; count += 1) {
          sentBytes += 100_000
          yield { value: new Uint8Array(100_000) }
        }
      },
    }),
  )
  const socket = await rawCaller(port, requestHead('/pfs.API/GetFile', empty.length))
  socket.write(empty)
  // What the kernel buffers on both sides is a few MB.
  expect(await untilStill(() => sentBytes)).toBeLessThan(20_000_000)
  let readBytes = 0
  socket.on('data', (bytes: Buffer) => {
    readBytes += bytes.length
  })
  await once(socket, 'close')
  expect([sentBytes, readBytes > sentBytes]).toEqual([100_000_000, true])
})

test('a handler that does not read stops the caller', async () => {
  const go = Promise.withResolvers<void>()
  const port = await fixture.serve(
    service(Pfs, {
      putFile: {
        async sliced(requests) {
          await go.promise
          let size = 0
          for await (const request of requests) size += request.sizeBytes
          throw new InvalidArgumentError(`got ${size}`)
        },
      },
    }),
  )
  const piece = framed(new Uint8Array(1_000_000))
  const socket = await rawCaller(port, requestHead('/pfs.API/PutFile', piece.length * 60))
  for (let count = 0; count < 60; count += 1) socket.write(piece)
  const takenBytes = (): number => socket.bytesWritten - socket.writableLength
  expect(await untilStill(takenBytes)).toBeLessThan(20_000_000)
  go.resolve()
  let answer = ''
  socket.on('data', (bytes: Buffer) => {
    answer += bytes.toString('latin1')
  })
  await once(socket, 'close')
  expect(answer).toContain('grpc-message: got 60000000')
})

test('a caller that hangs up in the middle of its request fails the handler', async () => {
  const outcome = Promise.withResolvers<string>()
  const port = await fixture.serve(
    service(Pfs, {
      async putFile(requests) {
        try {
          for await (const { value } of requests) expect(value.length).toBe(0)
          outcome.resolve('complete')
        } catch (error) {
          outcome.resolve(String(error))
        }
        return {}
      },
    }),
  )
  const socket = await rawCaller(port, requestHead('/pfs.API/PutFile', 1000))
  socket.write(empty)
  await new Promise((resolve) => setImmediate(resolve))
  socket.destroy()
  expect(await outcome.promise).toContain('context canceled')
})

/** The value of `counter` when it has not changed for 200 ms. */
async function untilStill(counter: () => number): Promise<number> {
  for (let last = -1; ;) {
    const now = counter()
    if (now === last) return now
    last = now
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
