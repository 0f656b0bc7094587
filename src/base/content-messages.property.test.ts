import { create, type DescMessage, fromBinary, type Message, toBinary } from '@bufbuild/protobuf'
import { BytesValueSchema } from '@bufbuild/protobuf/wkt'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PutFilesRequestSchema, SplitSchema } from '../gen/pachyderm_pb.ts'
import { Delimiter, PutFileRequestSchema, PutObjectRequestSchema } from '../gen/pfs_pb.ts'
import { concatBytes, equalBytes } from './bytes.ts'
import {
  decodePutFileRequest,
  decodePutFilesRequest,
  decodePutObjectRequest,
  delimiters,
  encodeBytesValue,
  encodePutFileRequest,
  encodePutFilesRequest,
  type PutFileFields,
  type PutFilesFields,
  type PutFilesPartFields,
  type PutObjectFields,
  putFileValueScanner,
  type Slices,
} from './content-messages.ts'
import type { CommitRef, FileRef } from './file-refs.ts'
import { WireFormatError } from './wire-reader.ts'

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'binary-ascii', maxLength: 200 }),
)
const slice = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }),
  // Around the size from which values are not copied.
  fc.integer({ min: 4095, max: 4098 }).map((size) => new Uint8Array(size).fill(size)),
)
const slices: fc.Arbitrary<Slices> = fc.array(slice, { maxLength: 3 })
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })

const commitRef: fc.Arbitrary<CommitRef> = fc.record({ repo: text, id: text })
const fileRef: fc.Arbitrary<FileRef> = fc.record({ commit: commitRef, path: text })
const count = fc.oneof(fc.constant(0n), int64)
const splitFields = {
  delimiter: fc.constantFrom(...Object.values(delimiters)),
  targetFileDatums: count,
  targetFileBytes: count,
  headerRecords: count,
  footerRecords: count,
}
const putFile: fc.Arbitrary<PutFileFields> = fc.record({
  file: fc.option(fileRef, { nil: undefined }),
  value: slices,
  url: text,
  recursive: fc.boolean(),
  ...splitFields,
  overwrite: fc.boolean(),
})
const putObject: fc.Arbitrary<PutObjectFields> = fc.record({ value: slices, tags: fc.array(text) })
const part: fc.Arbitrary<PutFilesPartFields> = fc.record({
  path: text,
  value: slices,
  more: fc.boolean(),
  overwrite: fc.boolean(),
})
const putFiles: fc.Arbitrary<PutFilesFields> = fc.record({
  commit: fc.option(commitRef, { nil: undefined }),
  parts: fc.array(part),
  split: fc.option(fc.record(splitFields), { nil: undefined }),
  endsCommit: fc.boolean(),
})

const fraction = fc.double({ min: 0, max: 1, noNaN: true })
/** Where to cut a message into slices: fractions of what is left. */
const cuts = fc.array(fraction, { maxLength: 6 })

function cut(bytes: Uint8Array, fractions: readonly number[]): Slices {
  const pieces: Uint8Array[] = []
  let rest = bytes
  for (const share of fractions) {
    const at = Math.floor(share * rest.length)
    pieces.push(rest.subarray(0, at))
    rest = rest.subarray(at)
  }
  return [...pieces, rest]
}

/** Fields that no message of ours has, of every wire type. */
const unknownFields = fc
  .array(
    fc.record({
      number: fc.integer({ min: 2000, max: 2 ** 29 - 1 }),
      type: fc.constantFrom('varint', 'fixed64', 'bytes', 'fixed32', 'group'),
      bits: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    }),
    { maxLength: 4 },
  )
  .map((fields) => {
    const writer = new BinaryWriter()
    for (const { number, type, bits } of fields) {
      if (type === 'varint') writer.tag(number, WireType.Varint).uint64(bits)
      else if (type === 'fixed64') writer.tag(number, WireType.Bit64).fixed64(bits)
      else if (type === 'bytes') writer.tag(number, WireType.LengthDelimited).string(`${bits}`)
      else if (type === 'fixed32') writer.tag(number, WireType.Bit32).fixed32(7)
      else {
        writer.tag(number, WireType.StartGroup).tag(1, WireType.StartGroup)
        writer.tag(1, WireType.EndGroup).tag(2, WireType.Varint).uint64(bits)
        writer.tag(number, WireType.EndGroup)
      }
    }
    return writer.finish()
  })

function commitMessage({ repo, id }: CommitRef) {
  return { repo: { name: repo }, id }
}

function fileMessage({ commit, path }: FileRef) {
  return { commit: commitMessage(commit), path }
}

/** One of the messages, so that each law can be said once. */
interface Schema<Fields> {
  readonly schema: DescMessage
  readonly fields: fc.Arbitrary<Fields>
  readonly generated: (fields: Fields) => Message
}

/** Written by hand. */
interface Encoder<Fields> extends Schema<Fields> {
  readonly encode: (fields: Fields) => Slices
}

/** Read by hand. */
interface Decoder<Fields> extends Schema<Fields> {
  readonly decode: (message: Slices) => Fields
}

/** Any fields of a message, with each value joined to one array. */
function joined(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      name === 'value' ? concatBytes(each) : Array.isArray(each) ? each.map(joined) : each,
    ]),
  )
}

/** What comes of reading bytes that may be no message. */
function outcome(decode: () => unknown): 'message' | 'WireFormatError' | 'other error' {
  try {
    decode()
    return 'message'
  } catch (error) {
    return error instanceof WireFormatError ? 'WireFormatError' : 'other error'
  }
}

function describeEncoder<Fields>({ schema, fields, generated, encode }: Encoder<Fields>): void {
  test(`${schema.typeName} is written by hand with the same bytes as by generated code`, () => {
    fc.assert(
      fc.property(fields, (each) => {
        const bytes = toBinary(schema, generated(each))
        expect(equalBytes(concatBytes(encode(each)), bytes)).toBe(true)
      }),
    )
  })
}

function describeDecoder<Fields>({ schema, fields, generated, decode }: Decoder<Fields>): void {
  const bytesOf = (each: Fields): Uint8Array => toBinary(schema, generated(each))

  describe(`${schema.typeName} by hand`, () => {
    test('is read alike however its bytes are cut into slices', () => {
      fc.assert(
        fc.property(fields, cuts, (each, fractions) => {
          expect(joined(decode(cut(bytesOf(each), fractions)))).toEqual(joined(each))
        }),
      )
    })

    test('is read alike with unknown fields before and after those we know', () => {
      fc.assert(
        fc.property(
          fields,
          unknownFields,
          unknownFields,
          cuts,
          (each, before, after, fractions) => {
            const message = concatBytes([before, bytesOf(each), after])
            expect(joined(decode(cut(message, fractions)))).toEqual(joined(each))
          },
        ),
      )
    })

    test('followed by another, is merged with it as by generated code', () => {
      fc.assert(
        fc.property(fields, fields, (first, second) => {
          const both = concatBytes([bytesOf(first), bytesOf(second)])
          const merged = toBinary(schema, fromBinary(schema, both))
          expect(equalBytes(bytesOf(decode([both])), merged)).toBe(true)
        }),
      )
    })

    test('cut short, is a WireFormatError where generated code has an error', () => {
      fc.assert(
        fc.property(fields, fraction, cuts, (each, where, fractions) => {
          const whole = bytesOf(each)
          const short = whole.subarray(0, Math.floor(where * whole.length))
          const isMessage = outcome(() => fromBinary(schema, short)) === 'message'
          const expected = isMessage ? 'message' : 'WireFormatError'
          expect(outcome(() => decode(cut(short, fractions)))).toBe(expected)
        }),
      )
    })

    test('made of any bytes, is a message or a WireFormatError', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 40 }), cuts, (any, fractions) => {
          expect(outcome(() => decode(cut(any, fractions)))).not.toBe('other error')
        }),
        { numRuns: 1000 },
      )
    })
  })
}

function describeCodec<Fields>(codec: Encoder<Fields> & Decoder<Fields>): void {
  describeEncoder(codec)
  describeDecoder(codec)
}

describeEncoder<{ readonly value: Slices }>({
  schema: BytesValueSchema,
  fields: fc.record({ value: slices }),
  generated: (fields) => create(BytesValueSchema, { value: concatBytes(fields.value) }),
  encode: (fields) => encodeBytesValue(fields.value),
})

describeCodec<PutFileFields>({
  schema: PutFileRequestSchema,
  fields: putFile,
  generated: ({ file, value, delimiter, ...rest }) =>
    create(PutFileRequestSchema, {
      ...rest,
      delimiter: delimiter as Delimiter,
      value: concatBytes(value),
      ...(file === undefined ? {} : { file: fileMessage(file) }),
    }),
  encode: encodePutFileRequest,
  decode: decodePutFileRequest,
})

describeDecoder<PutObjectFields>({
  schema: PutObjectRequestSchema,
  fields: putObject,
  generated: ({ value, tags }) =>
    create(PutObjectRequestSchema, {
      value: concatBytes(value),
      tags: tags.map((name) => ({ name })),
    }),
  decode: decodePutObjectRequest,
})

describeCodec<PutFilesFields>({
  schema: PutFilesRequestSchema,
  fields: putFiles,
  generated: ({ commit, parts, split, endsCommit = false }) =>
    create(PutFilesRequestSchema, {
      parts: parts.map((each) => ({ ...each, value: concatBytes(each.value) })),
      ...(split === undefined
        ? {}
        : { split: create(SplitSchema, { ...split, delimiter: split.delimiter as Delimiter }) }),
      ...(commit === undefined ? {} : { commit: commitMessage(commit) }),
      endsCommit,
    }),
  encode: encodePutFilesRequest,
  decode: decodePutFilesRequest,
})

test('delimiters have the numbers of their messages', () => {
  const { NONE: none, JSON: json, LINE: line, SQL: sql, CSV: csv } = Delimiter
  expect(delimiters).toEqual({ none, json, line, sql, csv })
})

test('the value of a message that arrives in slices passes the scanner as it comes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(putFile, cuts), { minLength: 1 }), (messages) => {
      const scanner = putFileValueScanner()
      for (const [fields, fractions] of messages) {
        const arriving = cut(concatBytes(encodePutFileRequest(fields)), fractions)
        const views = arriving.flatMap((each) => scanner.push(each))
        scanner.end()
        expect(equalBytes(concatBytes(views), concatBytes(fields.value))).toBe(true)
      }
    }),
  )
})

test('the scanner refuses a message where the decoder does', () => {
  fc.assert(
    fc.property(putFile, fraction, (fields, where) => {
      const whole = concatBytes(encodePutFileRequest(fields))
      const short = whole.subarray(0, Math.floor(where * whole.length))
      const scan = (): void => {
        const scanner = putFileValueScanner()
        scanner.push(short)
        scanner.end()
      }
      expect(outcome(scan)).toBe(outcome(() => decodePutFileRequest([short])))
    }),
  )
})

test('large values are handed on and read as views, not as copies', () => {
  const value = new Uint8Array(100_000).fill(7)
  const chunks = encodePutFileRequest({ url: 'after the value', value: [value] })
  expect(chunks.includes(value)).toBe(true)
  const read = decodePutFileRequest(chunks)
  expect(read.value.map(({ buffer }) => buffer)).toEqual([value.buffer])
  expect(read.value[0]?.buffer).toBe(value.buffer)
})
