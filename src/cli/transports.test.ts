import { type AddressInfo, createServer } from 'node:net'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import { service } from '../api/grpc/service.ts'
import { SystemClock } from '../base/clock.ts'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { Code } from '../base/grpc-wire.ts'
import { createClient } from '../client/client.ts'
import { RpcError } from '../client/rpc-error.ts'
import type { Transport } from '../client/transport.ts'
import { getVersion } from '../client/version.ts'
import { WebTransport } from '../client/web-transport.ts'
import { API as Pfs } from '../gen/pfs_pb.ts'
import { API as Version } from '../gen/version_pb.ts'
import { GrpcFixture } from '../testing/grpc-fixture.ts'
import { NodeTransport } from '../node-client/node-transport.ts'
import { QuickTransport } from './quick-transport.ts'

const clock = new SystemClock()
const transports: Record<string, (port: number) => Transport> = {
  'HTTP/2': (port) => new NodeTransport({ host: '127.0.0.1', port }, clock),
  quick: (port) => new QuickTransport({ host: '127.0.0.1', port }, clock),
  web: (port) => new WebTransport(`http://127.0.0.1:${port}/`),
}

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

async function failure(promise: Promise<unknown>): Promise<RpcError> {
  return promise.then(
    () => expect.fail('the call succeeded'),
    (error: unknown) => error as RpcError,
  )
}

function opened<Opened extends Transport>(transport: Opened): Opened {
  fixture.onClose(async () => transport[Symbol.asyncDispose]())
  return transport
}

for (const [name, open] of Object.entries(transports)) {
  const pfsClient = async (
    ...[handlers]: Parameters<typeof service<typeof Pfs>> extends [unknown, infer H] ? [H] : never
  ): Promise<ReturnType<typeof createClient<typeof Pfs>>> =>
    createClient(Pfs, opened(open(await fixture.serve(service(Pfs, handlers)))))

  describe(`the ${name} transport`, () => {
    test('gives the responses of unary calls, and errors with code, text and kind', async () => {
      const pfs = await pfsClient({
        async inspectRepo(request, { metadata, peer }) {
          if (request.repo === undefined) throw new NotFoundError('größe: 100 % not found')
          const seen = `${metadata.text('authn-token')} ${peer.startsWith('127.0.0.1:')}`
          return { description: `${request.repo.name} ${seen}` }
        },
      })
      const options = { metadata: { 'authn-token': 'secret' }, timeoutMs: 60_000 }
      const response = await pfs.inspectRepo({ repo: { name: 'data' } }, options)
      expect(response.description).toBe('data secret true')
      // More calls than any transport makes in its first way.
      for (let count = 0; count < 5; count += 1) {
        const error = await failure(pfs.inspectRepo({}))
        expect(error).toBeInstanceOf(RpcError)
        expect([error.code, error.message, error.kind]).toEqual([
          Code.unknown,
          'größe: 100 % not found',
          'not-found',
        ])
      }
      expect((await failure(pfs.listRepo({}))).code).toBe(Code.unimplemented)
    })

    test('gives streams of responses in order, and then their error', async () => {
      const pfs = await pfsClient({
        async *getFile(request) {
          for (let index = 0; index < request.sizeBytes; index += 1) {
            yield { value: Uint8Array.of(index) }
          }
          if (request.offsetBytes > 0) throw new NotFoundError('no more')
        },
      })
      const values: number[] = []
      const read = async (sizeBytes: bigint, offsetBytes: bigint): Promise<void> => {
        for await (const { value } of pfs.getFile({ sizeBytes, offsetBytes })) values.push(...value)
      }
      await read(3n, 0n)
      await read(0n, 0n)
      expect(values).toEqual([0, 1, 2])
      expect((await failure(read(3n, 1n))).message).toBe('no more')
      expect(values).toEqual([0, 1, 2, 0, 1, 2])
      expect((await failure(read(0n, 1n))).message).toBe('no more')
    })

    test('carries large uploads and downloads, whole', async () => {
      let receivedBytes = 0
      const pfs = await pfsClient({
        async putFile(requests) {
          for await (const { value } of requests) receivedBytes += value.length
          return {}
        },
        async *getFile() {
          for (let index = 0; index < 20; index += 1) yield { value: new Uint8Array(1_000_000) }
        },
      })
      await pfs.putFile(
        (async function* () {
          for (let index = 0; index < 20; index += 1) yield { value: new Uint8Array(1_000_000) }
        })(),
      )
      let readBytes = 0
      for await (const { value } of pfs.getFile({})) readBytes += value.length
      expect([receivedBytes, readBytes]).toEqual([20_000_000, 20_000_000])
    })

    test('cancels a call whose stream is left', async () => {
      const closed = Promise.withResolvers<void>()
      const pfs = await pfsClient({
        async *getFile() {
          try {
            while (true) yield { value: new Uint8Array(50_000) }
          } finally {
            closed.resolve()
          }
        },
      })
      for await (const message of pfs.getFile({})) if (message.value.length > 0) break
      await expect(closed.promise).resolves.toBeUndefined()
    })

    test('ends calls on both sides when a signal aborts', async () => {
      const started = Promise.withResolvers<void>()
      const aborted = Promise.withResolvers<void>()
      const pfs = await pfsClient({
        inspectRepo: async (_request, { signal }) =>
          new Promise(() => {
            signal.addEventListener('abort', () => aborted.resolve())
            started.resolve()
          }),
      })
      const abort = new AbortController()
      const calling = failure(pfs.inspectRepo({}, { signal: abort.signal }))
      await started.promise
      abort.abort()
      expect((await calling).code).toBe(Code.cancelled)
      await aborted.promise
      expect((await failure(pfs.inspectRepo({}, { signal: abort.signal }))).code).toBe(
        Code.cancelled,
      )
      expect((await failure(pfs.inspectRepo({}, { timeoutMs: 30 }))).code).toBe(
        Code.deadlineExceeded,
      )
    })

    test('says that a server which shuts down or is not there is unavailable', async () => {
      const started = Promise.withResolvers<void>()
      const listener = await fixture.listen(
        service(Pfs, {
          inspectRepo: async () => {
            started.resolve()
            return new Promise(() => {})
          },
        }),
      )
      const pfs = createClient(Pfs, opened(open(listener.address.port)))
      const running = failure(pfs.inspectRepo({}))
      await started.promise
      await listener.close(0)
      expect(await running).toMatchObject({
        code: Code.unavailable,
        message: 'the server is shutting down',
      })
      const error = await failure(pfs.inspectRepo({}))
      const isUnavailable = error instanceof UnavailableError || error.code === Code.unavailable
      expect(isUnavailable).toBe(true)
    })
  })
}

test('a version is read by hand as the generated code reads it', async () => {
  const version = { major: 1, minor: 500, micro: 3, additional: 'ü' }
  const port = await fixture.serve(service(Version, { getVersion: async () => version }))
  const transport = opened(new QuickTransport({ host: '127.0.0.1', port }, clock))
  expect(await getVersion(transport)).toEqual(version)
  expect(await createClient(Version, transport).getVersion({})).toMatchObject(version)
})

test('the quick transport goes over to HTTP/2 where gRPC-Web is not known', async () => {
  const server = new Server()
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  fixture.onClose(() => server.forceShutdown())
  const transport = opened(new QuickTransport({ host: '127.0.0.1', port }, clock))
  expect((await failure(getVersion(transport))).code).toBe(Code.unimplemented)
})

test('the quick transport says who is not there, and who hangs up', async () => {
  const mute = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const address = mute.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const transport = opened(new QuickTransport({ host: '127.0.0.1', port }, clock))
  expect((await failure(getVersion(transport))).code).toBe(Code.unavailable)
  await new Promise((resolve) => mute.close(resolve))
  const error = await failure(getVersion(transport))
  expect(error).toBeInstanceOf(UnavailableError)
  expect(error.message).toContain(`127.0.0.1:${port}: connection refused`)
  const injecting = getVersion(transport, { metadata: { name: 'a\r\nb: c' } })
  expect((await failure(injecting)).message).toContain('characters that a header cannot')
})

test('a stream that breaks off inside a message is a lost connection, on either way', async () => {
  const server = createServer((socket) => {
    socket
      .on('error', () => {})
      .once('data', () => {
        const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/grpc-web+proto\r\n\r\n'
        socket.end(Buffer.concat([Buffer.from(head), Buffer.of(0, 0, 0, 0, 9, 10, 7, 1, 2)]))
      })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  fixture.onClose(async () => new Promise<void>((resolve) => server.close(() => resolve())))
  const { port } = server.address() as AddressInfo
  for (const open of [transports['quick'], transports['web']]) {
    const pfs = createClient(Pfs, opened(open?.(port) as Transport))
    const error = await failure(Array.fromAsync(pfs.getFile({})))
    expect([error.code, error.message]).toEqual([
      Code.unavailable,
      'the connection to the server was lost in the middle of its answer',
    ])
  }
})
