import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type DiffKind, FileDiffsBatchSchema, FileInfosBatchSchema } from '../gen/pachyderm_pb.ts'
import {
  DiffFileResponseSchema,
  type FileInfo,
  FileInfoSchema,
  FileInfosSchema,
  FileType,
} from '../gen/pfs_pb.ts'
import { concatBytes, equalBytes } from './bytes.ts'
import { InvalidArgumentError } from './errors.ts'
import { FileDiffsWriter, type FileInfoFields, FileInfosWriter } from './file-info-messages.ts'
import type { CommitRef } from './file-refs.ts'

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'binary-ascii', maxLength: 200 }),
)
const commitRef: fc.Arbitrary<CommitRef> = fc.record({ repo: text, id: text })
const entry: fc.Arbitrary<FileInfoFields> = fc.record(
  {
    path: text,
    fileType: fc.constantFrom(FileType.RESERVED, FileType.FILE, FileType.DIR),
    sizeBytes: fc.oneof(fc.nat(), fc.maxSafeNat()),
    children: fc.array(text),
    hash: fc.uint8Array({ maxLength: 64 }),
    objects: fc.array(text),
  },
  { requiredKeys: ['path', 'fileType', 'sizeBytes', 'hash'] },
)

function fileInfo({ repo, id }: CommitRef, fields: FileInfoFields): FileInfo {
  const { path, fileType, sizeBytes, children = [], hash, objects = [] } = fields
  return create(FileInfoSchema, {
    file: { commit: { repo: { name: repo }, id }, path },
    fileType: fileType as FileType,
    sizeBytes: BigInt(sizeBytes),
    children: [...children],
    hash,
    objects: objects.map((each) => ({ hash: each })),
  })
}

test('a list of files is written with the same bytes as by generated code', () => {
  fc.assert(
    fc.property(commitRef, fc.array(entry), (commit, entries) => {
      const writer = new FileInfosWriter(commit)
      for (const each of entries) writer.add(each)
      const sizeBytes = writer.sizeBytes
      const bytes = concatBytes(writer.take())
      const list = { fileInfo: entries.map((each) => fileInfo(commit, each)) }
      expect(sizeBytes).toBe(bytes.length)
      expect(equalBytes(bytes, toBinary(FileInfosSchema, create(FileInfosSchema, list)))).toBe(true)
      const batch = create(FileInfosBatchSchema, list)
      expect(equalBytes(bytes, toBinary(FileInfosBatchSchema, batch))).toBe(true)
    }),
  )
})

function present(files: readonly (FileInfo | undefined)[]): FileInfo[] {
  return files.filter((file) => file !== undefined)
}

test('differences are written with the same bytes as by generated code', () => {
  const side = fc.option(entry, { nil: undefined })
  const diff = fc.record({ kind: fc.nat(3), before: side, after: side })
  fc.assert(
    fc.property(commitRef, commitRef, fc.array(diff), (before, after, diffs) => {
      const writer = new FileDiffsWriter({ before, after })
      for (const { kind, ...sides } of diffs) writer.addDiff(kind, sides)
      const messages = diffs.map((each) => ({
        kind: each.kind as DiffKind,
        ...(each.before && { oldFile: fileInfo(before, each.before) }),
        ...(each.after && { newFile: fileInfo(after, each.after) }),
      }))
      const sizeBytes = writer.sizeBytes
      const batch = create(FileDiffsBatchSchema, { diffs: messages })
      const bytes = concatBytes(writer.take())
      expect(sizeBytes).toBe(bytes.length)
      expect(equalBytes(bytes, toBinary(FileDiffsBatchSchema, batch))).toBe(true)
      for (const { kind: _, ...sides } of diffs) writer.addSides(sides)
      const response = fromBinary(DiffFileResponseSchema, concatBytes(writer.take()))
      expect(response.newFiles).toEqual(present(messages.map(({ newFile }) => newFile)))
      expect(response.oldFiles).toEqual(present(messages.map(({ oldFile }) => oldFile)))
    }),
  )
})

test('one file is written with the same bytes as by generated code', () => {
  fc.assert(
    fc.property(commitRef, entry, (commit, fields) => {
      const bytes = concatBytes(new FileInfosWriter(commit).encodeOne(fields))
      expect(equalBytes(bytes, toBinary(FileInfoSchema, fileInfo(commit, fields)))).toBe(true)
    }),
  )
})

test('a writer goes on with another list after take, over many chunks', () => {
  const commit = { repo: 'images', id: 'c'.repeat(32) }
  const writer = new FileInfosWriter(commit)
  const entries = Array.from({ length: 3000 }, (_, index) => ({
    path: `/folder/${index}.png`,
    fileType: FileType.FILE,
    sizeBytes: index,
    hash: new Uint8Array(32).fill(index),
  }))
  for (let round = 0; round < 3; round += 1) {
    for (const each of entries) writer.add(each)
    const chunks = writer.take()
    expect(chunks.length).toBeGreaterThan(1)
    const { fileInfo: read } = fromBinary(FileInfosSchema, concatBytes(chunks))
    expect(read).toEqual(entries.map((each) => fileInfo(commit, each)))
    expect(writer.sizeBytes).toBe(0)
  }
})

test('a path that has no UTF-8 is refused, not replaced', () => {
  const writer = new FileInfosWriter({ repo: 'r', id: 'c' })
  const fields = {
    path: '/half \ud83d',
    fileType: FileType.FILE,
    sizeBytes: 1,
    hash: new Uint8Array(),
  }
  expect(() => writer.add(fields)).toThrow(InvalidArgumentError)
  expect(writer.take()).toEqual([])
})
