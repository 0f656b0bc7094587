import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { once } from 'node:events'
import { create, toBinary } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import { status, type ServiceError } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { InvalidArgumentError } from '../../base/errors.ts'
import { API as Pfs } from '../../gen/pfs_pb.ts'
import { API as Version } from '../../gen/version_pb.ts'
import { framed, GrpcFixture, grpcHeaders } from '../../testing/grpc-fixture.ts'
import { service } from './service.ts'

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  return promise.then(
    () => expect.fail('the call succeeded'),
    (error: unknown) => error as ServiceError,
  )
}

const version = service(Version, { getVersion: async () => ({ major: 1, minor: 5, micro: 3 }) })

async function answersStill(port: number): Promise<void> {
  const response = await fixture.client(port).unary(Version.method.getVersion, {}).response
  expect(response).toMatchObject({ major: 1, minor: 5, micro: 3 })
}

test('a deadline ends the call and its handler, which ignores it or not', async () => {
  const aborted = Promise.withResolvers<unknown>()
  const port = await fixture.serve(
    service(Pfs, {
      async inspectRepo(_request, { signal }) {
        signal.addEventListener('abort', () => aborted.resolve(signal.reason))
        return new Promise(() => {})
      },
    }),
  )
  // The test's own client gives up at its deadline too, so the server is asked without it.
  const stream = fixture.session(port).request({
    ':method': 'POST',
    ':path': '/pfs.API/InspectRepo',
    'content-type': 'application/grpc',
    'grpc-timeout': '50m',
  })
  stream.end(framed(new Uint8Array(0)))
  const [headers] = (await once(stream, 'response')) as [Record<string, string>]
  expect(headers['grpc-status']).toBe('4')
  expect(headers['grpc-message']).toBe('context deadline exceeded')
  expect(await aborted.promise).toMatchObject({ kind: 'cancelled' })
})

test('a caller that cancels aborts the handler', async () => {
  const started = Promise.withResolvers<void>()
  const aborted = Promise.withResolvers<void>()
  const port = await fixture.serve(
    service(Pfs, {
      async inspectRepo(_request, { signal }) {
        signal.addEventListener('abort', () => aborted.resolve())
        started.resolve()
        return new Promise(() => {})
      },
    }),
  )
  const { call, response } = fixture.client(port).unary(Pfs.method.inspectRepo, {})
  await started.promise
  call.cancel()
  expect((await failure(response)).code).toBe(status.CANCELLED)
  await aborted.promise
})

test('a caller that cancels a stream of responses closes the generator', async () => {
  const closed = Promise.withResolvers<void>()
  const port = await fixture.serve(
    service(Pfs, {
      async *getFile() {
        try {
          while (true) yield { value: new Uint8Array(100_000) }
        } finally {
          closed.resolve()
        }
      },
    }),
  )
  const stream = fixture.client(port).serverStream(Pfs.method.getFile, {})
  await once(stream, 'data')
  stream.on('error', () => {})
  stream.cancel()
  await expect(closed.promise).resolves.toBeUndefined()
})

test('a caller that cancels an upload fails the stream of requests', async () => {
  const started = Promise.withResolvers<number>()
  const failed = Promise.withResolvers<unknown>()
  const port = await fixture.serve(
    service(Pfs, {
      async putFile(requests) {
        try {
          for await (const { value } of requests) started.resolve(value.length)
        } catch (error) {
          failed.resolve(error)
          throw error
        }
        return {}
      },
    }),
  )
  // Not by the other library: Node's `close` lets it end the stream before it resets it.
  const reset = new AbortController()
  const stream = fixture
    .session(port)
    .request(grpcHeaders('/pfs.API/PutFile'), { signal: reset.signal })
  stream.on('error', () => {})
  stream.write(framed(new Uint8Array(0)))
  await started.promise
  reset.abort()
  expect(await failed.promise).toMatchObject({ kind: 'cancelled', message: 'context canceled' })
})

test('a handler may answer early, and the caller stops sending', async () => {
  const port = await fixture.serve(
    version,
    service(Pfs, {
      async putFile(requests) {
        for await (const { value } of requests) throw new InvalidArgumentError(`${value.length}`)
        return {}
      },
    }),
  )
  const { call, response } = fixture.client(port).clientStream(Pfs.method.putFile)
  const timer = setInterval(() => call.write({ value: new Uint8Array(100_000) }), 1)
  fixture.onClose(() => clearInterval(timer))
  expect((await failure(response)).details).toBe('100000')
  clearInterval(timer)
  await answersStill(port)
})

test('a caller that was answered early and never ends its side is hung up on', async () => {
  const port = await fixture.serve(
    service(Pfs, { putFile: async () => Promise.reject(new InvalidArgumentError('no')) }),
  )
  const stream = fixture.session(port).request(grpcHeaders('/pfs.API/PutFile'))
  stream.write(framed(new Uint8Array(10)))
  stream.resume()
  await once(stream, 'close')
  expect(stream.rstCode).toBe(0)
})

test('a caller may send its request and end its side of the stream later', async () => {
  const port = await fixture.serve(version)
  const stream = fixture.session(port).request(grpcHeaders('/versionpb.API/GetVersion'), {
    endStream: false,
  })
  stream.write(framed(toBinary(EmptySchema, create(EmptySchema))))
  await once(fixture.session(port), 'connect')
  stream.end()
  const trailers = once(stream, 'trailers')
  stream.resume()
  expect(((await trailers) as [Record<string, string>])[0]['grpc-status']).toBe('0')
})

test('a unary call without a message, with two, or with one cut short is refused', async () => {
  const port = await fixture.serve(version)
  const outcome = async (body: Uint8Array): Promise<string | undefined> => {
    const stream = fixture.session(port).request(grpcHeaders('/versionpb.API/GetVersion'))
    stream.end(body)
    return ((await once(stream, 'response')) as [Record<string, string>])[0]['grpc-status']
  }
  expect(await outcome(new Uint8Array(0))).toBe('13')
  expect(await outcome(new Uint8Array(10))).toBe('13')
  expect(await outcome(new Uint8Array(3))).toBe('13')
  expect(await outcome(framed(Uint8Array.of(0xff)))).toBe('13')
})

test('what is not gRPC is answered with 415', async () => {
  const port = await fixture.serve(version)
  const statusOf = async (headers: Record<string, string>): Promise<number> => {
    const stream = fixture.session(port).request(headers)
    stream.resume()
    return ((await once(stream, 'response')) as [Record<string, number>])[0][':status'] ?? 0
  }
  expect(await statusOf({ ':path': '/' })).toBe(415)
  const path = '/versionpb.API/GetVersion'
  expect(await statusOf({ ...grpcHeaders(path), 'content-type': 'application/json' })).toBe(415)
  expect(await statusOf({ ...grpcHeaders(path), 'content-type': 'application/grpc-web' })).toBe(415)
})

test('1,000 calls run at once on one connection', async () => {
  let running = 0
  const all = Promise.withResolvers<void>()
  const port = await fixture.serve(
    service(Pfs, {
      async inspectRepo(request) {
        running += 1
        if (running === 1000) all.resolve()
        await all.promise
        return { description: request.repo?.name ?? '' }
      },
    }),
  )
  const one = fixture.client(port)
  const names = Array.from({ length: 1000 }, (_, index) => `repo${index}`)
  const responses = await Promise.all(
    names.map(async (name) => one.unary(Pfs.method.inspectRepo, { repo: { name } }).response),
  )
  expect(responses.map((response) => response.description)).toEqual(names)
})

test('a reader that does not read stops the handler before much is buffered', async () => {
  let sentBytes = 0
  let stalled = Promise.withResolvers<void>()
  let timer: NodeJS.Timeout | undefined
  const port = await fixture.serve(
    service(Pfs, {
      async *getFile() {
        for (let count = 0; count < 400; count += 1) {
          sentBytes += 100_000
          clearTimeout(timer)
          timer = setTimeout(() => stalled.resolve(), 200)
          yield { value: new Uint8Array(100_000) }
        }
        clearTimeout(timer)
      },
    }),
  )
  const stream = fixture.session(port).request(grpcHeaders('/pfs.API/GetFile'))
  stream.end(framed(new Uint8Array(0)))
  await stalled.promise
  expect(sentBytes).toBeLessThan(2_000_000)
  let receivedBytes = 0
  stream.on('data', (slice: Buffer) => {
    receivedBytes += slice.length
  })
  await once(stream, 'end')
  expect(sentBytes).toBe(40_000_000)
  expect(receivedBytes).toBeGreaterThan(40_000_000)
  stalled = Promise.withResolvers()
})

test('a handler that does not read stops the caller at the window', async () => {
  const go = Promise.withResolvers<void>()
  let takenBytes = 0
  const port = await fixture.serve(
    service(Pfs, {
      putFile: {
        async sliced(requests) {
          await go.promise
          for await (const request of requests) {
            for await (const slice of request.slices()) takenBytes += slice.length
          }
          return {}
        },
      },
    }),
  )
  const stream = fixture.session(port).request(grpcHeaders('/pfs.API/PutFile'))
  const pieceBytes = 1_000_000
  let writtenBytes = 0
  await writeUntilStalled(stream, framed(new Uint8Array(pieceBytes)), (size) => {
    writtenBytes += size
    return writtenBytes >= 60 * pieceBytes
  })
  // The window of 8 MiB, and what the socket and the writer hold themselves.
  expect(writtenBytes).toBeLessThan(12 * pieceBytes)
  go.resolve()
  stream.end()
  const trailers = once(stream, 'trailers')
  stream.resume()
  expect(((await trailers) as [Record<string, string>])[0]['grpc-status']).toBe('0')
  expect(takenBytes).toBe(writtenBytes - (writtenBytes / (pieceBytes + 5)) * 5)
})

/** A caller of uploads that nobody reads, and what it has been told of its windows. */
function pushing(port: number): {
  readonly session: ClientHttp2Session
  readonly windows: number[]
  /** Sends on `count` uploads, as much as it may; gives the MiB of each, when there are `mib` at least. */
  readonly push: (count: number, mib: number, userAgent?: string) => Promise<number>
} {
  const session = fixture.session(port)
  const windows: number[] = []
  session.on('remoteSettings', ({ initialWindowSize = 0 }) => windows.push(initialWindowSize))
  const piece = framed(new Uint8Array(12_000_000))
  const push = async (count: number, mib: number, userAgent = 'test'): Promise<number> => {
    await expect.poll(() => windows).not.toEqual([])
    for (let index = 0; index < count; index += 1) {
      const headers = { ...grpcHeaders('/pfs.API/PutFile'), 'user-agent': userAgent }
      const stream = session.request(headers)
      stream.on('error', () => {})
      stream.write(piece)
    }
    const sent = (): number => session.socket.bytesWritten / count / 1024 / 1024
    await expect.poll(sent).toBeGreaterThan(mib)
    return untilStill(sent)
  }
  return { session, windows, push }
}

const firstWindow = 65_535
const fullWindow = 8 * 1024 * 1024

test('an upload alone gets a window of 8 MiB; with more of them, each gets less', async () => {
  const never = new Promise<never>(() => {})
  const port = await fixture.serve(service(Pfs, { putFile: async () => never }))
  const alone = pushing(port)
  // Besides the window, there is what waits in the call's own queue and in Node's.
  expect(await alone.push(1, 7.9)).toBeLessThan(8.3)
  const some = pushing(port)
  await some.push(20, 0.9)
  expect(alone.windows).toEqual([firstWindow, fullWindow, fullWindow / 8])
  const many = pushing(port)
  expect(await many.push(100, 0.05)).toBeLessThan(0.3)
  await expect
    .poll(() => alone.windows)
    .toEqual([firstWindow, fullWindow, fullWindow / 8, firstWindow])
  await expect.poll(() => some.windows.at(-1)).toBe(firstWindow)
  expect(many.windows).toEqual([firstWindow])
})

test('the windows of callers that could not bear it when one shrinks do not grow', async () => {
  const never = new Promise<never>(() => {})
  const port = await fixture.serve(service(Pfs, { putFile: async () => never }))
  const old = pushing(port)
  expect(await old.push(1, 0.05, 'grpc-go/1.5.0-dev')).toBeLessThan(0.3)
  expect(old.windows).toEqual([firstWindow])
  expect(await pushing(port).push(1, 7.9, 'grpc-go/1.10.0')).toBeGreaterThan(8)
})

test('what nobody reads is bounded in all: who sent most of it is given up', async () => {
  const listener = await fixture.listen(
    service(Pfs, { putFile: async () => new Promise(() => {}) }),
    {
      backlogBytesMax: 4 * 1024 * 1024,
    },
  )
  const { port } = listener.address
  const honest = fixture.session(port).request(grpcHeaders('/pfs.API/PutFile'))
  honest.write(framed(new Uint8Array(50_000)))
  const hostile = fixture.session(port)
  const codes: string[] = []
  for (let count = 0; count < 100; count += 1) {
    const stream = hostile.request(grpcHeaders('/pfs.API/PutFile'))
    stream.on('error', () => {})
    stream.on('response', (headers) => codes.push(String(headers['grpc-status'])))
    stream.write(framed(new Uint8Array(200_000)))
  }
  await expect.poll(() => codes.length, { timeout: 10_000 }).toBeGreaterThan(30)
  expect(codes.length).toBeLessThan(100)
  expect(new Set(codes)).toEqual(new Set([String(status.RESOURCE_EXHAUSTED)]))
  expect([honest.closed, honest.destroyed]).toEqual([false, false])
})

test('slices are handed on before their message is complete', async () => {
  const first = Promise.withResolvers<Uint8Array>()
  const port = await fixture.serve(
    service(Pfs, {
      putFile: {
        async sliced(requests) {
          for await (const request of requests) {
            for await (const slice of request.slices()) first.resolve(slice)
          }
          return {}
        },
      },
    }),
  )
  const stream = fixture.session(port).request(grpcHeaders('/pfs.API/PutFile'))
  const frame = framed(new Uint8Array(1000).fill(7))
  stream.write(frame.subarray(0, 500))
  expect([...new Set(await first.promise)]).toEqual([7])
  stream.end(frame.subarray(500))
  const trailers = once(stream, 'trailers')
  stream.resume()
  await trailers
})

test('pings without calls are answered for as long as they come', async () => {
  const port = await fixture.serve(version)
  const idle = fixture.session(port)
  let goaway = false
  idle.on('goaway', () => {
    goaway = true
  })
  await once(idle, 'remoteSettings')
  for (let count = 0; count < 200; count += 1) {
    await new Promise<void>((resolve, reject) => {
      idle.ping((error) => (error === null ? resolve() : reject(error)))
    })
  }
  expect([goaway, idle.closed, idle.destroyed]).toEqual([false, false, false])
})

test('callers that vanish in the middle leave nothing behind', async () => {
  const aborted = Promise.withResolvers<void>()
  const started = Promise.withResolvers<number>()
  const port = await fixture.serve(
    version,
    service(Pfs, {
      async putFile(requests, { signal }) {
        signal.addEventListener('abort', () => aborted.resolve())
        for await (const { value } of requests) started.resolve(value.length)
        return {}
      },
    }),
  )
  const lost = fixture.session(port)
  const stream = lost.request(grpcHeaders('/pfs.API/PutFile'))
  stream.on('error', () => {})
  stream.write(framed(Uint8Array.of(0x1a, 1, 1)))
  stream.write(framed(new Uint8Array(100)).subarray(0, 50))
  await started.promise
  lost.destroy()
  await aborted.promise
  await answersStill(port)
  expect(fixture.failures).toEqual([])
})

/** Writes `piece` again and again until nothing moves for 200 ms, or `wrote` says enough. */
async function writeUntilStalled(
  stream: ClientHttp2Stream,
  piece: Uint8Array,
  wrote: (size: number) => boolean,
): Promise<void> {
  while (true) {
    const written = new Promise<boolean>((resolve) => {
      stream.write(piece, () => resolve(true))
    })
    const enough = wrote(piece.length)
    const stalled = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 200))
    if (enough || !(await Promise.race([written, stalled]))) return
  }
}

/** The value of `counter` when it has not changed for 200 ms. */
async function untilStill(counter: () => number): Promise<number> {
  for (let last = -1; ;) {
    const now = counter()
    if (now === last) return now
    last = now
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
