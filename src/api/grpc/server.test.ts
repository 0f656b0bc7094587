import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import { BytesValueSchema } from '@bufbuild/protobuf/wkt'
import { Metadata, status, type ServiceError } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import { messageBytesMax } from '../../base/grpc-wire.ts'
import { Files } from '../../gen/pachyderm_pb.ts'
import { API as Pfs, PutFileRequestSchema } from '../../gen/pfs_pb.ts'
import { API as Version } from '../../gen/version_pb.ts'
import { framed, GrpcFixture, grpcHeaders } from '../../testing/grpc-fixture.ts'
import { service, type CallContext } from './service.ts'

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  return promise.then(
    () => expect.fail('the call succeeded'),
    (error: unknown) => error as ServiceError,
  )
}

test('a unary call gives the response, and its handler sees metadata and peer', async () => {
  let seen: CallContext | undefined
  const port = await fixture.serve(
    service(Pfs, {
      async inspectRepo(request, context) {
        seen = context
        return { description: `about ${request.repo?.name}` }
      },
    }),
  )
  const metadata = new Metadata()
  metadata.set('authn-token', 'secret')
  metadata.set('trace-bin', Buffer.from([0, 255, 7]))
  const { response } = fixture
    .client(port)
    .unary(Pfs.method.inspectRepo, { repo: { name: 'data' } }, metadata)
  expect((await response).description).toBe('about data')
  expect(seen?.metadata.text('authn-token')).toBe('secret')
  expect(seen?.metadata.text('userid')).toBeUndefined()
  expect([...(seen?.metadata.bytes('trace-bin') ?? [])]).toEqual([0, 255, 7])
  expect(seen?.peer).toMatch(/^127\.0\.0\.1:\d+$/)
})

test('methods without a handler and unknown methods are unimplemented', async () => {
  const port = await fixture.serve(service(Pfs, {}))
  const missing = await failure(fixture.client(port).unary(Pfs.method.listRepo, {}).response)
  expect(missing.code).toBe(status.UNIMPLEMENTED)
  expect(missing.details).toBe('/pfs.API/ListRepo is not implemented yet by this server')
  const unknown = await failure(fixture.client(port).unary(Version.method.getVersion, {}).response)
  expect(unknown.code).toBe(status.UNIMPLEMENTED)
  expect(unknown.details).toContain('/versionpb.API/GetVersion')
})

test('the services of 1.5 answer code 2 and the text; ours answer rich codes; both tell the kind', async () => {
  const thrown = new NotFoundError('pachyderm_pfs/repos/ größe not found: 100 %')
  const port = await fixture.serve(
    service(Pfs, { inspectRepo: async () => Promise.reject(thrown) }),
    service(Files, { putFiles: async () => Promise.reject(thrown) }),
  )
  const classic = await failure(fixture.client(port).unary(Pfs.method.inspectRepo, {}).response)
  expect([classic.code, classic.details]).toEqual([status.UNKNOWN, thrown.message])
  expect(classic.metadata.get('pachyderm-error-kind')).toEqual(['not-found'])
  const { call, response } = fixture.client(port).clientStream(Files.method.putFiles)
  call.end()
  const rich = await failure(response)
  expect([rich.code, rich.details]).toEqual([status.NOT_FOUND, thrown.message])
  expect(rich.metadata.get('pachyderm-error-kind')).toEqual(['not-found'])
})

test('a bug is logged under a reference, of which alone the caller is told', async () => {
  const port = await fixture.serve(
    service(Pfs, { inspectRepo: async () => Promise.reject(new TypeError('secret')) }),
    service(Files, {
      // oxlint-disable-next-line require-yield -- it fails before
      async *listFiles() {
        throw new TypeError('secret')
      },
    }),
  )
  const classic = await failure(fixture.client(port).unary(Pfs.method.inspectRepo, {}).response)
  expect(classic.code).toBe(status.UNKNOWN)
  expect(classic.details).not.toContain('secret')
  expect(classic.details).toContain(`reference ${fixture.failures[0]?.reference}`)
  expect(fixture.failures[0]?.error).toBeInstanceOf(TypeError)
  const stream = fixture.client(port).serverStream(Files.method.listFiles, {})
  const [rich] = (await once(stream.resume(), 'error')) as [ServiceError]
  expect(rich.code).toBe(status.INTERNAL)
  expect(rich.details).toContain(`reference ${fixture.failures[1]?.reference}`)
})

test('an error after some responses comes after them', async () => {
  const port = await fixture.serve(
    service(Pfs, {
      async *getFile() {
        yield { value: new Uint8Array(3) }
        throw new InvalidArgumentError('too far')
      },
    }),
  )
  const stream = fixture.client(port).serverStream(Pfs.method.getFile, {})
  const sizes: number[] = []
  stream.on('data', (message: { value: Uint8Array }) => sizes.push(message.value.length))
  const [error] = (await once(stream, 'error')) as [ServiceError]
  expect([sizes, error.details]).toEqual([[3], 'too far'])
})

test('messages over 20 MiB are refused both ways, those of 20 MiB are not', async () => {
  const port = await fixture.serve(
    service(Pfs, {
      async putFile(requests) {
        for await (const { value } of requests) expect(value.length).toBeGreaterThan(0)
        return {}
      },
      async *getFile(request) {
        yield { value: new Uint8Array(Number(request.sizeBytes)) }
      },
    }),
  )
  const framing = 5 // of a bytes field of this size
  for (const [size, code] of [
    [messageBytesMax - framing, undefined],
    [messageBytesMax, status.RESOURCE_EXHAUSTED],
  ] as const) {
    const { call, response } = fixture.client(port).clientStream(Pfs.method.putFile)
    call.end({ value: new Uint8Array(size) })
    const outcome = await response.then(
      () => undefined,
      (error: ServiceError) => error.code,
    )
    expect(outcome).toBe(code)
    const stream = fixture
      .client(port)
      .serverStream(Pfs.method.getFile, { sizeBytes: BigInt(size) })
    const received = Promise.withResolvers<number | undefined>()
    stream.on('error', (error: ServiceError) => received.resolve(error.code))
    stream.on('end', () => received.resolve(undefined))
    stream.resume()
    expect(await received.promise).toBe(code)
  }
})

/** A request of `size` bytes, compressed. */
function zipped(size: number): Buffer {
  const request = create(PutFileRequestSchema, { value: new Uint8Array(size) })
  return gzipSync(toBinary(PutFileRequestSchema, request))
}

test('gzip requests are read, and refused when they unpack to too much or are no gzip', async () => {
  const port = await fixture.serve(
    service(Pfs, {
      async putFile(requests) {
        let size = 0
        for await (const request of requests) size += request.value.length
        throw new InvalidArgumentError(`got ${size}`)
      },
    }),
  )
  const send = async (payload: Uint8Array, encoding: string): Promise<string[]> => {
    const stream = fixture.session(port).request({
      ...grpcHeaders('/pfs.API/PutFile'),
      'grpc-encoding': encoding,
    })
    stream.end(framed(payload, 1))
    const [headers] = (await once(stream, 'response')) as [Record<string, string>]
    return [headers['grpc-status'] ?? '', headers['grpc-message'] ?? '']
  }
  expect(await send(zipped(1_000_000), 'gzip')).toEqual(['2', 'got 1000000'])
  expect((await send(zipped(messageBytesMax), 'gzip'))[0]).toBe('8')
  expect((await send(Buffer.from('no gzip'), 'gzip'))[0]).toBe('13')
  expect((await send(Buffer.from(''), 'snappy'))[0]).toBe('12')
  expect((await send(zipped(1), 'identity'))[0]).toBe('13')
})

test('encoded responses go out as they are, in parts too', async () => {
  const value = new Uint8Array(100_000).fill(9)
  const port = await fixture.serve(
    service(Pfs, {
      inspectRepo: { encoded: async () => new Uint8Array(0) },
      getFile: {
        async *encoded() {
          yield [Uint8Array.of(0x0a, 0xa0, 0x8d, 0x06), value]
          yield [Uint8Array.of(0x0a), Uint8Array.of(1), Uint8Array.of(5)]
          yield toBinary(BytesValueSchema, create(BytesValueSchema, { value }))
        },
      },
    }),
  )
  const stream = fixture.client(port).serverStream(Pfs.method.getFile, {})
  const values: unknown[] = []
  stream.on('data', (message: { value: Uint8Array }) => values.push(Buffer.from(message.value)))
  await once(stream, 'end')
  expect(values).toEqual([Buffer.from(value), Buffer.of(5), Buffer.from(value)])
  expect((await fixture.client(port).unary(Pfs.method.inspectRepo, {}).response).description).toBe(
    '',
  )
})
