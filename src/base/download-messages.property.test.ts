import { create, toBinary } from '@bufbuild/protobuf'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  FileChunksBatchSchema,
  GetFilesRequestSchema,
  GetFilesResponseSchema,
} from '../gen/pachyderm_pb.ts'
import type { FileType } from '../gen/pfs_pb.ts'
import { concatBytes, equalBytes } from './bytes.ts'
import {
  decodeFileChunksBatch,
  decodeGetFilesResponse,
  encodeGetFilesRequest,
  FileChunksWriter,
  type GetFilesPartFields,
  GetFilesWriter,
} from './download-messages.ts'
import type { CommitRef } from './file-refs.ts'
import { WireFormatError } from './wire-reader.ts'

const text = fc.string({ unit: 'binary' })
const count = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }))
const hash = fc.uint8Array({ maxLength: 40 })
const slice = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }),
  // Around the size from which values are not copied.
  fc.integer({ min: 4095, max: 4098 }).map((size) => new Uint8Array(size).fill(size)),
)
const commitRef: fc.Arbitrary<CommitRef> = fc.record({ repo: text, id: text })
const part: fc.Arbitrary<GetFilesPartFields> = fc.record({
  path: text,
  value: fc.array(slice, { maxLength: 3 }),
  more: fc.boolean(),
  fileType: fc.constantFrom(0, 1, 2),
  sizeBytes: count,
  hash,
  fileCount: count,
})
const parts = fc.array(part, { maxLength: 5 })
const chunks = fc.array(fc.record({ hash, sizeBytes: count }), { maxLength: 5 })
const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 })

function cut(bytes: Uint8Array, shares: readonly number[]): readonly Uint8Array[] {
  const pieces: Uint8Array[] = []
  let rest = bytes
  for (const share of shares) {
    const at = Math.floor(share * rest.length)
    pieces.push(rest.subarray(0, at))
    rest = rest.subarray(at)
  }
  return [...pieces, rest]
}

function commitMessage({ repo, id }: CommitRef) {
  return { repo: { name: repo }, id }
}

function written(commit: CommitRef, each: readonly GetFilesPartFields[]): Uint8Array {
  const writer = new GetFilesWriter(commit)
  for (const fields of each) writer.add(fields)
  const { sizeBytes } = writer
  const message = concatBytes(writer.take())
  expect(message.length).toBe(sizeBytes)
  return message
}

function joined({ value, ...rest }: GetFilesPartFields) {
  return { ...rest, value: concatBytes(value) }
}

describe('messages of a download, by hand', () => {
  test('a request has the same bytes as by generated code', () => {
    const request = fc.record({
      commit: commitRef,
      paths: fc.array(text),
      pattern: text,
      recursive: fc.boolean(),
      withoutContent: fc.boolean(),
    })
    fc.assert(
      fc.property(request, (fields) => {
        const message = create(GetFilesRequestSchema, {
          ...fields,
          commit: commitMessage(fields.commit),
        })
        const expected = toBinary(GetFilesRequestSchema, message)
        expect(equalBytes(concatBytes(encodeGetFilesRequest(fields)), expected)).toBe(true)
      }),
    )
  })

  test('an answer has the same bytes as by generated code', () => {
    fc.assert(
      fc.property(commitRef, parts, (commit, each) => {
        const message = create(GetFilesResponseSchema, {
          commit: commitMessage(commit),
          parts: each.map(({ value, fileType, sizeBytes, fileCount, ...rest }) => ({
            ...rest,
            value: concatBytes(value),
            fileType: fileType as FileType,
            sizeBytes: BigInt(sizeBytes),
            fileCount: BigInt(fileCount),
          })),
        })
        const expected = toBinary(GetFilesResponseSchema, message)
        expect(equalBytes(written(commit, each), expected)).toBe(true)
      }),
    )
  })

  test('an answer is read as it was written, however its bytes are cut', () => {
    fc.assert(
      fc.property(commitRef, parts, fractions, (commit, each, shares) => {
        const read = decodeGetFilesResponse(cut(written(commit, each), shares))
        expect(read.commit).toEqual(commit)
        expect(read.parts.map(joined)).toEqual(each.map(joined))
      }),
    )
  })

  test('only the first message of a writer names the commit', () => {
    const writer = new GetFilesWriter({ repo: 'r', id: 'c' })
    expect(decodeGetFilesResponse(writer.take()).commit).toEqual({ repo: 'r', id: 'c' })
    expect(writer.sizeBytes).toBe(0)
    const fields = { more: false, fileType: 1, sizeBytes: 1, hash: new Uint8Array(), fileCount: 0 }
    writer.add({ ...fields, path: '/a', value: [Uint8Array.of(1)] })
    expect(decodeGetFilesResponse(writer.take())).toMatchObject({ commit: undefined })
  })

  test('chunks have the same bytes as by generated code, and are read alike', () => {
    fc.assert(
      fc.property(chunks, fractions, (each, shares) => {
        const writer = new FileChunksWriter()
        for (const fields of each) writer.add(fields)
        const message = concatBytes(writer.take())
        const generated = create(FileChunksBatchSchema, {
          chunks: each.map(({ sizeBytes, ...rest }) => ({ ...rest, sizeBytes: BigInt(sizeBytes) })),
        })
        expect(equalBytes(message, toBinary(FileChunksBatchSchema, generated))).toBe(true)
        expect(decodeFileChunksBatch(cut(message, shares))).toEqual(each)
      }),
    )
  })

  test('any bytes are a message or a WireFormatError, and nothing worse', () => {
    const outcomes = new Set<string>()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        outcomes.add(outcome(() => decodeGetFilesResponse([bytes])))
        outcomes.add(outcome(() => decodeFileChunksBatch([bytes])))
      }),
      { numRuns: 1000 },
    )
    expect([...outcomes].toSorted()).toEqual(['WireFormatError', 'message'])
  })
})

/** What comes of reading bytes that may be no message. */
function outcome(decode: () => unknown): string {
  try {
    decode()
    return 'message'
  } catch (error) {
    return error instanceof WireFormatError ? 'WireFormatError' : String(error)
  }
}
