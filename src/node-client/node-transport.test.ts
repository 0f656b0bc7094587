import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { BytesValueSchema, EmptySchema } from '@bufbuild/protobuf/wkt'
import { afterEach, expect, test } from 'vitest'
import { service } from '../api/grpc/service.ts'
import { SystemClock } from '../base/clock.ts'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { Code } from '../base/grpc-wire.ts'
import { createClient } from '../client/client.ts'
import type { RpcError } from '../client/rpc-error.ts'
import { API as Pfs } from '../gen/pfs_pb.ts'
import { API as Version, VersionSchema } from '../gen/version_pb.ts'
import { GrpcFixture } from '../testing/grpc-fixture.ts'
import { NodeTransport } from './node-transport.ts'

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

function transport(port: number): NodeTransport {
  const made = new NodeTransport({ host: '127.0.0.1', port }, new SystemClock())
  fixture.onClose(async () => made[Symbol.asyncDispose]())
  return made
}

async function pfsClient(
  ...[handlers]: Parameters<typeof service<typeof Pfs>> extends [unknown, infer H] ? [H] : never
): Promise<ReturnType<typeof createClient<typeof Pfs>>> {
  return createClient(Pfs, transport(await fixture.serve(service(Pfs, handlers))))
}

async function drained(requests: AsyncIterable<unknown>): Promise<void> {
  const iterator = requests[Symbol.asyncIterator]()
  while ((await iterator.next()).done !== true);
}

async function failure(promise: Promise<unknown>): Promise<RpcError> {
  return promise.then(
    () => expect.fail('the call succeeded'),
    (error: unknown) => error as RpcError,
  )
}

test('an upload is not read ahead of the server', async () => {
  const go = Promise.withResolvers<void>()
  let pulledBytes = 0
  let timer: NodeJS.Timeout | undefined
  const pfs = await pfsClient({
    putFile: {
      async sliced(requests) {
        await go.promise
        let size = 0
        for await (const request of requests) size += request.sizeBytes
        throw new NotFoundError(`got ${size >= 50_000_000}`)
      },
    },
  })
  const stalled = Promise.withResolvers<number>()
  const uploading = pfs.putFile(
    (async function* () {
      for (let count = 0; count < 50; count += 1) {
        clearTimeout(timer)
        timer = setTimeout(() => stalled.resolve(pulledBytes), 200)
        pulledBytes += 1_000_000
        yield { value: new Uint8Array(1_000_000) }
      }
    })(),
  )
  const refused = failure(uploading)
  expect(await stalled.promise).toBeLessThan(14_000_000)
  go.resolve()
  expect((await refused).message).toBe('got true')
  clearTimeout(timer)
})

test('an upload that fails on this side is not taken for a complete one', async () => {
  const outcome = Promise.withResolvers<string>()
  const pfs = await pfsClient({
    async putFile(requests) {
      try {
        await drained(requests)
        outcome.resolve('complete')
      } catch {
        outcome.resolve('cancelled')
      }
      return {}
    },
  })
  const uploading = pfs.putFile(
    (async function* () {
      yield { value: new Uint8Array(100) }
      throw new Error('disk on fire')
    })(),
  )
  await expect(uploading).rejects.toThrow('disk on fire')
  expect(await outcome.promise).toBe('cancelled')
})

/** The frames that a client sends: type, flags and stream of each. */
function framesOf(bytes: Buffer): readonly (readonly [type: number, flags: number, id: number])[] {
  const frames: [number, number, number][] = []
  for (let at = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'.length; at < bytes.length;) {
    frames.push([bytes.readUInt8(at + 3), bytes.readUInt8(at + 4), bytes.readUInt32BE(at + 5)])
    at += 9 + bytes.readUIntBE(at, 3)
  }
  return frames
}

test('a stream of requests that is cancelled is reset, and not ended before', async () => {
  const [dataFrame, resetFrame, endStream] = [0, 3, 1]
  const port = await fixture.serve(service(Pfs, { putFile: async () => new Promise(() => {}) }))
  const sent: Buffer[] = []
  const tap = createServer((socket) => {
    const server = connect(port, '127.0.0.1')
    socket.on('data', (bytes) => sent.push(bytes))
    for (const side of [socket, server]) side.on('error', () => {})
    socket.pipe(server).pipe(socket)
  })
  await new Promise<void>((resolve) => tap.listen(0, '127.0.0.1', resolve))
  fixture.onClose(() => tap.close())
  const pfs = createClient(Pfs, transport((tap.address() as AddressInfo).port))
  const callCount = 40
  for (let call = 0; call < callCount; call += 1) {
    const abort = new AbortController()
    const uploading = pfs.putFile(
      (async function* () {
        yield { value: new Uint8Array(100) }
        for (let turn = 0; turn < call % 10; turn += 1) await new Promise(setImmediate)
        abort.abort()
        if (call % 2 === 1) await new Promise(() => {})
      })(),
      { signal: abort.signal },
    )
    expect((await failure(uploading)).code).toBe(Code.cancelled)
  }
  await expect
    .poll(() => framesOf(Buffer.concat(sent)).filter(([type]) => type === resetFrame))
    .toHaveLength(callCount)
  const frames = framesOf(Buffer.concat(sent)).filter(([type]) => type === dataFrame)
  expect(frames.filter(([, flags]) => (flags & endStream) !== 0)).toEqual([])
})

test('an answer ends an upload whose source is still thinking', async () => {
  const pfs = await pfsClient({
    async putFile(requests) {
      for await (const { value } of requests) throw new NotFoundError(`got ${value.length} B`)
      return {}
    },
  })
  const uploading = pfs.putFile(
    (async function* () {
      yield { value: new Uint8Array(1) }
      await new Promise(() => {})
    })(),
  )
  expect((await failure(uploading)).message).toBe('got 1 B')
})

test('deadlines and signals end calls on both sides', async () => {
  let abortedCount = 0
  const both = Promise.withResolvers<void>()
  const pfs = await pfsClient({
    inspectRepo: async (_request, { signal }) =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          abortedCount += 1
          if (abortedCount === 2) both.resolve()
        })
      }),
  })
  expect((await failure(pfs.inspectRepo({}, { timeoutMs: 30 }))).code).toBe(Code.deadlineExceeded)
  const abort = new AbortController()
  const calling = pfs.inspectRepo({}, { signal: abort.signal })
  setTimeout(() => abort.abort(), 30)
  expect((await failure(calling)).code).toBe(Code.cancelled)
  expect((await failure(pfs.inspectRepo({}, { signal: abort.signal }))).code).toBe(Code.cancelled)
  await both.promise
})

test('messages over 20 MiB are refused, whoever sends them', async () => {
  const pfs = await pfsClient({
    putFile: async () => new Promise(() => {}),
    inspectRepo: async () => ({}),
  })
  const large = { value: new Uint8Array(20 * 1024 * 1024) }
  const uploading = pfs.putFile(
    (async function* () {
      yield large
    })(),
  )
  expect((await failure(uploading)).code).toBe(Code.resourceExhausted)
  const naming = pfs.inspectRepo({ repo: { name: 'x'.repeat(20 * 1024 * 1024) } })
  expect((await failure(naming)).code).toBe(Code.resourceExhausted)
})

test('nobody at the address: it says so at once, with advice', async () => {
  const listener = await fixture.listen([])
  const { port } = listener.address
  await listener.close(0)
  const error = await failure(createClient(Version, transport(port)).getVersion({}))
  expect(error).toBeInstanceOf(UnavailableError)
  expect(error.message).toContain(`127.0.0.1:${port}: connection refused`)
  expect(error.message).toContain('ADDRESS')
})

test('something else at the address: it says so', async () => {
  const sockets = new Set<Socket>()
  const other = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  fixture.onClose(() => other.close())
  const address = other.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const error = await failure(createClient(Version, transport(port)).getVersion({}))
  expect(error).toBeInstanceOf(UnavailableError)
  expect(error.message).toContain('does not speak gRPC')
})

test('a connection that breaks fails its calls, and the next call opens another', async () => {
  const started = Promise.withResolvers<void>()
  const routes = service(Pfs, {
    inspectRepo: async (request) => {
      started.resolve()
      return request.repo === undefined ? new Promise(() => {}) : {}
    },
  })
  const first = await fixture.listen(routes)
  const { port } = first.address
  const pfs = createClient(Pfs, transport(port))
  const hanging = failure(pfs.inspectRepo({}))
  await started.promise
  await first.close(0)
  expect((await hanging).code).toBe(Code.unavailable)
  await fixture.listen(routes, { port })
  expect((await pfs.inspectRepo({ repo: { name: 'x' } })).description).toBe('')
})

function unused(): never {
  return expect.fail('servers do not need it')
}

test("the gRPC project's server understands this client", async () => {
  const server = new Server()
  const bytes = { requestSerialize: unused, responseDeserialize: unused }
  server.addService(
    {
      version: {
        path: '/versionpb.API/GetVersion',
        requestStream: false,
        responseStream: false,
        requestDeserialize: (buffer: Buffer) => fromBinary(EmptySchema, buffer),
        responseSerialize: () =>
          Buffer.from(toBinary(VersionSchema, create(VersionSchema, { major: 7 }))),
        ...bytes,
      },
      get: {
        path: '/pfs.API/GetFile',
        requestStream: false,
        responseStream: true,
        requestDeserialize: (buffer: Buffer) => buffer,
        responseSerialize: (value: Uint8Array) =>
          Buffer.from(toBinary(BytesValueSchema, create(BytesValueSchema, { value }))),
        ...bytes,
      },
    },
    {
      version: (_call: unknown, callback: (error: null, value: unknown) => void) =>
        callback(null, {}),
      get: (call: {
        write: (value: Uint8Array) => void
        emit: (name: string, error: unknown) => void
      }) => {
        call.write(new Uint8Array(1_000_000).fill(3))
        call.emit('error', { code: status.DATA_LOSS, details: '50 % größer' })
      },
    },
  )
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  fixture.onClose(() => server.forceShutdown())
  expect((await createClient(Version, transport(port)).getVersion({})).major).toBe(7)
  let size = 0
  const reading = (async () => {
    for await (const { value } of createClient(Pfs, transport(port)).getFile({}))
      size += value.length
  })()
  const error = await failure(reading)
  expect([size, error.code, error.message]).toEqual([1_000_000, Code.dataLoss, '50 % größer'])
  expect((await failure(createClient(Pfs, transport(port)).listRepo({}))).code).toBe(
    Code.unimplemented,
  )
})
