import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { describe, expect, test } from 'vitest'
import { WireFormatError } from '../../base/wire-reader.ts'
import { ACLSchema } from '../../gen/auth_pb.ts'
import { PutSourcesRequestSchema } from '../../gen/pachyderm_pb.ts'
import { CreateRepoRequestSchema, type RepoSchema } from '../../gen/pfs_pb.ts'
import { CreatePipelineRequestSchema, InputSchema, TransformSchema } from '../../gen/pps_pb.ts'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { fieldsMaxDefault, MessageLimits, TooManyValuesError } from './message-limits.ts'

const advice = 'do less'
const { fields: transform } = TransformSchema
const limits = new MessageLimits({
  fields: [
    { field: CreateRepoRequestSchema.field.provenance, countMax: 3, advice },
    { field: CreatePipelineRequestSchema.field.inputs, countMax: 3, advice },
    { field: PutSourcesRequestSchema.field.sources, countMax: 300_000, advice },
    { field: ACLSchema.field.entries, countMax: 3, advice },
    ...InputSchema.fields
      .filter(({ fieldKind }) => fieldKind === 'list')
      .map((field) => ({ field, countMax: 3, advice })),
    ...transform
      .filter(({ fieldKind }) => fieldKind === 'list' || fieldKind === 'map')
      .map((field) => ({ field, countMax: 3, advice })),
  ],
  messages: [
    { message: PutSourcesRequestSchema, fieldsMax: 200_000 },
    { message: ACLSchema, bytesMax: 10 },
  ],
})

const checkRepo = limits.checkOf(CreateRepoRequestSchema)
const checkPipeline = limits.checkOf(CreatePipelineRequestSchema)

function repoOf(provenanceCount: number): Uint8Array {
  const one: MessageInitShape<typeof RepoSchema> = { name: 'a' }
  const provenance = Array.from({ length: provenanceCount }, () => one)
  return toBinary(CreateRepoRequestSchema, create(CreateRepoRequestSchema, { provenance }))
}

function pipelineOf(init: MessageInitShape<typeof CreatePipelineRequestSchema>): Uint8Array {
  return toBinary(CreatePipelineRequestSchema, create(CreatePipelineRequestSchema, init))
}

test('a request with as many of a field as it may have is taken, one with more is told which and how many', () => {
  expect(() => checkRepo(repoOf(3))).not.toThrow()
  expect(() => checkRepo(repoOf(5))).toThrow(
    'pfs.CreateRepoRequest.provenance is there 5 times, and at most 3 are allowed in one request: do less',
  )
})

test('a field counts at every depth, wherever it is', () => {
  const inner = { cross: [{}, {}] }
  expect(() => checkPipeline(pipelineOf({ input: { union: [inner] } }))).not.toThrow()
  expect(() => checkPipeline(pipelineOf({ input: { union: [inner, inner] } }))).toThrow(
    'pps.Input.cross is there 4 times',
  )
})

test('numbers that are packed count one by one, and as fields, too', () => {
  expect(() =>
    checkPipeline(pipelineOf({ transform: { acceptReturnCode: [1n, 2n, 300n] } })),
  ).not.toThrow()
  expect(() =>
    checkPipeline(pipelineOf({ transform: { acceptReturnCode: [1n, 2n, 300n, -1n] } })),
  ).toThrow('accept_return_code is there 4 times')
})

test('entries of a map count', () => {
  const env = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, '']))
  expect(() => checkPipeline(pipelineOf({ transform: { env } }))).toThrow('env is there 4 times')
})

test('of a hostile number, only some are counted', () => {
  const flood = new Uint8Array(20 * 1024 * 1024)
  for (let at = 0; at < flood.length; at += 2) flood[at] = 0x12
  expect(() => checkRepo(flood)).toThrow('is there at least 500001 times')
})

/** A description, said again and again. */
function repeated(count: number): Uint8Array {
  return Uint8Array.from(Array.from({ length: count }, () => [0x1a, 0]).flat())
}

function sourcesOf(count: number): Uint8Array {
  const sources = Array.from({ length: count }, () => ({ url: 'a' }))
  return toBinary(PutSourcesRequestSchema, create(PutSourcesRequestSchema, { sources }))
}

describe('fields in all', () => {
  test('are bounded, also those that are no list', () => {
    expect(() => checkRepo(repeated(fieldsMaxDefault))).not.toThrow()
    expect(() => checkRepo(repeated(fieldsMaxDefault + 1))).toThrow(
      'the pfs.CreateRepoRequest has 100001 fields, counted at every depth, and at most 100000 are allowed',
    )
  })

  test('may be more in a request of which that is said', () => {
    const check = limits.checkOf(PutSourcesRequestSchema)
    expect(() => check(sourcesOf(100_000))).not.toThrow()
    expect(() => check(sourcesOf(100_001))).toThrow(TooManyValuesError)
  })

  test('of a number that nobody knows count', () => {
    const unknown = Array.from({ length: fieldsMaxDefault + 1 }, () => [0x78, 0]).flat()
    expect(() => checkRepo(Uint8Array.from(unknown))).toThrow(TooManyValuesError)
    const group = [0x7b, ...unknown, 0x7c]
    expect(() => checkRepo(Uint8Array.from(group))).toThrow(TooManyValuesError)
  })
})

describe('what a decoder might read in another way', () => {
  test.each([
    // A decoder that does not look would take the 20 for a length, and the rest for a repo.
    ['a known field of another type', [0x10, 20]],
    ['a message that goes on past its end', [0x12, 2, 0x0a, 3, 65, 65, 65]],
    ['a field that goes on past the end of all', [0x12, 4, 0x0a, 2, 65]],
    ['the end of a group in a message', [0x12, 1, 0x0c]],
  ])('is refused: %s', (_what, bytes) => {
    expect(() => checkRepo(Uint8Array.from(bytes))).toThrow(WireFormatError)
  })

  test('is what an unknown field may hold', () => {
    const bytes = Uint8Array.of(0x7a, 2, 0xff, 0xff, 0x7b, 0x10, 1, 0x7c, 0x1a, 1, 65)
    expect(() => checkRepo(bytes)).not.toThrow()
    expect(fromBinary(CreateRepoRequestSchema, bytes).description).toBe('A')
  })
})

test('a request may have a bound of its size', () => {
  const check = limits.checkOf(ACLSchema)
  expect(() => check(Uint8Array.of(0x7a, 8, ...Array<number>(8).fill(0)))).not.toThrow()
  expect(() => check(Uint8Array.of(0x7a, 9, ...Array<number>(9).fill(0)))).toThrow(
    'the auth.ACL has 11 bytes, and at most 10 are allowed: make several requests of it',
  )
})

test('a request whose lists have no limit is a mistake that is found at once', () => {
  const none = new MessageLimits({ fields: [], messages: [] })
  expect(() => none.checkOf(CreateRepoRequestSchema)).toThrow(
    'pfs.CreateRepoRequest.provenance needs a limit of its number',
  )
})
