import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { BytesValueSchema } from '@bufbuild/protobuf/wkt'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { concatBytes } from '../base/bytes.ts'
import { MessageReader } from '../base/grpc-messages.ts'
import { prefixBytes, writePrefix, type EncodedMessage } from '../base/grpc-wire.ts'
import { SliceQueue } from '../base/slice-queue.ts'
import {
  HoldCommitRequestSchema,
  HoldCommitResponseSchema,
  PutFilesRequestSchema,
  PutFilesResponseSchema,
} from '../gen/pachyderm_pb.ts'
import { GetFileRequestSchema, PutFileRequestSchema } from '../gen/pfs_pb.ts'
import { putFile, putFiles, readFile, type FilePut } from './file-transfers.ts'
import { holdCommit } from './held-commit.ts'
import type { Transport } from './transport.ts'

const file = { commit: { repo: 'data', id: 'master' }, path: '/a/ü' }
const slices = fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 5 })

async function* streamOf<Value>(values: readonly Value[]): AsyncGenerator<Value> {
  yield* values
}

/** Takes down what is sent, and answers with what it was made for. */
class RecordingTransport implements Transport {
  readonly sent: Uint8Array[] = []
  readonly #answers: readonly Uint8Array[]

  constructor(answers: readonly Uint8Array[]) {
    this.#answers = answers
  }

  async unary(): Promise<Uint8Array> {
    throw new Error('not a call that carries contents')
  }

  async *serverStream(
    _path: string,
    request: EncodedMessage,
  ): ReturnType<Transport['serverStream']> & AsyncGenerator {
    this.#record(request)
    const queue = new SliceQueue(() => {})
    for (const answer of this.#answers) {
      const prefix = new Uint8Array(prefixBytes)
      writePrefix(prefix, 0, answer.length)
      for (const byte of concatBytes([prefix, answer])) queue.push(Uint8Array.of(byte))
    }
    queue.end()
    yield* new MessageReader(queue)
  }

  async clientStream(_path: string, requests: AsyncIterable<EncodedMessage>): Promise<Uint8Array> {
    for await (const request of requests) this.#record(request)
    return this.#answers[0] ?? new Uint8Array(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #record(message: EncodedMessage): void {
    this.sent.push(message instanceof Uint8Array ? message : concatBytes(message))
  }
}

test('a file is put in messages that name it first and then carry its bytes', async () => {
  await fc.assert(
    fc.asyncProperty(slices, fc.boolean(), async (bytes, overwrite) => {
      const transport = new RecordingTransport([])
      await putFile(transport, file, streamOf(bytes), { overwrite })
      const [first, ...others] = transport.sent.map((sent) =>
        fromBinary(PutFileRequestSchema, sent),
      )
      expect(first).toMatchObject({
        file: { commit: { repo: { name: 'data' }, id: 'master' }, path: '/a/ü' },
        overwrite,
      })
      expect(concatBytes(others.map(({ value }) => value))).toEqual(concatBytes(bytes))
    }),
  )
})

test('a file is read as the bytes of all messages, joined', async () => {
  await fc.assert(
    fc.asyncProperty(slices, fc.nat(), fc.nat(), async (values, offsetBytes, sizeBytes) => {
      const transport = new RecordingTransport(
        values.map((value) => toBinary(BytesValueSchema, create(BytesValueSchema, { value }))),
      )
      const read: Uint8Array[] = []
      for await (const slice of readFile(transport, file, { offsetBytes, sizeBytes })) {
        read.push(slice)
      }
      expect(concatBytes(read)).toEqual(concatBytes(values))
      const [request] = transport.sent.map((sent) => fromBinary(GetFileRequestSchema, sent))
      expect(request).toMatchObject({
        file: { commit: { repo: { name: 'data' }, id: 'master' }, path: '/a/ü' },
        offsetBytes: BigInt(offsetBytes),
        sizeBytes: BigInt(sizeBytes),
      })
    }),
  )
})

const paths = fc.string({ minLength: 1, maxLength: 5 })
const puts = fc.record({ path: paths, slices, overwrite: fc.boolean() })

test('a bulk upload tells each file once, with all its bytes, and overwrites once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(puts, { maxLength: 6 }), async (wishes) => {
      const answer = create(PutFilesResponseSchema, {
        files: 7n,
        bytes: 2n ** 40n,
        endedCommit: true,
      })
      const transport = new RecordingTransport([toBinary(PutFilesResponseSchema, answer)])
      const all = wishes.map(({ path, slices: parts, overwrite }): FilePut => ({
        path,
        bytes: streamOf(parts),
        overwrite,
      }))
      const result = await putFiles(transport, file.commit, all)
      expect(result).toEqual({ fileCount: 7, sizeBytes: 2 ** 40, endedCommit: true })
      const [first, ...others] = transport.sent.map((sent) =>
        fromBinary(PutFilesRequestSchema, sent),
      )
      expect(first?.commit).toMatchObject({ repo: { name: 'data' }, id: 'master' })
      const told: unknown[] = []
      let bytes: Uint8Array[] = []
      let overwrite = false
      for (const part of others.flatMap(({ parts }) => parts)) {
        bytes.push(part.value)
        overwrite ||= part.overwrite
        if (part.more) continue
        told.push([part.path, overwrite, concatBytes(bytes)])
        bytes = []
        overwrite = false
      }
      expect(told).toEqual(
        wishes.map((wish) => [wish.path, wish.overwrite, concatBytes(wish.slices)]),
      )
    }),
  )
})

test('large files are cut, and small ones share messages', async () => {
  const mebi = 1024 * 1024
  const transport = new RecordingTransport([])
  const small = Array.from({ length: 1000 }, (_, index) => ({
    path: `/small/${index}`,
    bytes: new Uint8Array(100),
  }))
  const large = { path: '/large', bytes: new Uint8Array(3.5 * mebi) }
  await putFiles(transport, file.commit, [...small, large])
  const sizes = transport.sent.map(({ length }) => length)
  expect(Math.max(...sizes)).toBeLessThan(mebi + 100)
  expect(sizes.length).toBeLessThanOrEqual(6)
})

test('a commit is held by the messages of the generated code', async () => {
  const wanted = { repo: 'dätä', branch: 'master', message: 'x'.repeat(200) }
  const commit = { repo: { name: 'dätä' }, id: 'c1' }
  const answer = create(HoldCommitResponseSchema, { commit })
  const transport = new RecordingTransport([toBinary(HoldCommitResponseSchema, answer)])
  const held = await Array.fromAsync(holdCommit(transport, wanted))
  expect(held).toEqual([{ repo: 'dätä', id: 'c1' }])
  const [request] = transport.sent.map((sent) => fromBinary(HoldCommitRequestSchema, sent))
  const { branch, message } = wanted
  expect(request).toMatchObject({ repo: { name: 'dätä' }, branch, message })
})
