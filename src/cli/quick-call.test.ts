import { createServer, type Socket } from 'node:net'
import { fromBinary } from '@bufbuild/protobuf'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { service } from '../api/grpc/service.ts'
import { NotFoundError } from '../base/errors.ts'
import { API, VersionSchema } from '../gen/version_pb.ts'
import { GrpcFixture } from '../testing/grpc-fixture.ts'
import { quickCall } from './quick-call.ts'

const fixture = new GrpcFixture()
const path = '/versionpb.API/GetVersion'

afterEach(async () => fixture.close())

async function call(port: number, timeoutMs = 5000): Promise<Uint8Array | undefined> {
  return quickCall({ host: '127.0.0.1', port }, path, timeoutMs)
}

async function rawServer(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer(onConnection)
  fixture.onClose(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

test('a quick call gets the answer of our server', async () => {
  const additional = 'long '.repeat(10_000)
  const port = await fixture.serve(service(API, { getVersion: async () => ({ additional }) }))
  const answer = await call(port)
  expect(fromBinary(VersionSchema, answer ?? new Uint8Array(0)).additional).toBe(additional)
})

test('a quick call gets the answer of another server', async () => {
  const server = new Server()
  const bytes = Buffer.of(8, 1, 16, 5)
  const unary = {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: Buffer) => value,
    requestDeserialize: (value: Buffer) => value,
    responseSerialize: (value: Buffer) => value,
    responseDeserialize: (value: Buffer) => value,
  } as const
  server.addService(
    { getVersion: unary },
    {
      getVersion: (_call: unknown, done: (error: null, value: Buffer) => void) => done(null, bytes),
    },
  )
  fixture.onClose(() => server.forceShutdown())
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  expect(await call(port)).toEqual(bytes)
})

test('a quick call gives up on failures, and on what it does not understand', async () => {
  const refusing = service(API, {
    getVersion: async () => {
      throw new NotFoundError('no')
    },
  })
  const silent = await rawServer(() => undefined)
  const other = await rawServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const closing = await rawServer((socket) => socket.destroy())
  expect(await call(await fixture.serve(refusing))).toBeUndefined()
  expect(await call(1)).toBeUndefined()
  expect(await call(silent, 50)).toBeUndefined()
  expect(await call(other, 1000)).toBeUndefined()
  expect(await call(closing)).toBeUndefined()
})

test('an answer may come a byte at a time', async () => {
  const settings = '000000040000000000'
  const data = '0000070000000000010000000002'
  const end = '000000000100000001'
  const frames = Buffer.from(`${settings}${data}0801${end}`, 'hex')
  const port = await rawServer((socket) => {
    socket.setNoDelay(true).on('error', () => undefined)
    for (const byte of frames) socket.write(Buffer.of(byte))
  })
  expect(await call(port)).toEqual(Buffer.of(8, 1))
})
