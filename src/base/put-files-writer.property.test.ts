import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { PutFilesRequestSchema } from '../gen/pachyderm_pb.ts'
import { putFilesPartsMax } from './content-messages.ts'
import { PutFilesWriter, putFilesBytesMax, type SmallFile } from './put-files-writer.ts'

function fileOf(bytes: Uint8Array): SmallFile {
  return {
    readInto: (into, offset) => {
      if (offset + bytes.length > into.length) return undefined
      into.set(bytes, offset)
      return bytes.length
    },
  }
}

const file = fc.record({
  path: fc.string({ unit: 'binary', maxLength: 200 }),
  // Around the sizes whose lengths take another byte.
  size: fc.oneof(
    fc.constantFrom(0, 1, 127, 128, 16_383, 16_384, putFilesBytesMax - 1000),
    fc.nat(2000),
  ),
  overwrite: fc.boolean(),
})

test('messages are those of the generated code, and no file is lost between them', () => {
  fc.assert(
    fc.property(fc.array(file, { maxLength: 10 }), (files) => {
      const writer = new PutFilesWriter()
      const messages: Uint8Array[] = []
      for (const [index, { path, size, overwrite }] of files.entries()) {
        const small = fileOf(new Uint8Array(size).fill(index + 1))
        if (writer.isFull) messages.push(writer.take())
        if (writer.add(path, small, overwrite)) continue
        messages.push(writer.take())
        expect(writer.add(path, small, overwrite)).toBe(true)
      }
      if (!writer.isEmpty) messages.push(writer.take())
      const decoded = messages.map((message) => fromBinary(PutFilesRequestSchema, message))
      for (const [index, message] of messages.entries()) {
        expect(message.length).toBeLessThanOrEqual(putFilesBytesMax + 2)
        const again = decoded[index] ?? create(PutFilesRequestSchema)
        expect(Buffer.compare(message, toBinary(PutFilesRequestSchema, again))).toBe(0)
      }
      const parts = decoded.flatMap((message) => message.parts)
      expect(
        parts.map(({ path, value, overwrite }) => [path, value.length, value[0], overwrite]),
      ).toEqual(
        files.map(({ path, size, overwrite }, index) => [
          path,
          size,
          size === 0 ? undefined : index + 1,
          overwrite,
        ]),
      )
    }),
  )
})

test('a file that a message has no room for leaves it as it was', () => {
  const writer = new PutFilesWriter()
  expect(writer.add('/large', fileOf(new Uint8Array(putFilesBytesMax)), true)).toBe(false)
  expect(writer.isEmpty).toBe(true)
  for (let count = 0; count < putFilesPartsMax; count += 1) {
    expect(writer.add('', fileOf(new Uint8Array(0)), false)).toBe(true)
  }
  expect(writer.add('', fileOf(new Uint8Array(0)), false)).toBe(false)
  expect(fromBinary(PutFilesRequestSchema, writer.take()).parts.length).toBe(putFilesPartsMax)
  expect(writer.isEmpty).toBe(true)
})
