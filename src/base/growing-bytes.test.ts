import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { concatBytes } from './bytes.ts'
import { GrowingBytes } from './growing-bytes.ts'

test('what is added is there in order, as a copy, and gone when it is cleared', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 700 })), (parts) => {
      const bytes = new GrowingBytes()
      const buffer = new Uint8Array(700)
      for (let round = 0; round < 2; round += 1) {
        for (const part of parts) {
          buffer.set(part)
          bytes.add(buffer.subarray(0, part.length))
          buffer.fill(0)
        }
        const expected = concatBytes(parts)
        expect(bytes.sizeBytes).toBe(expected.length)
        expect(Buffer.compare(bytes.joined(), expected)).toBe(0)
        bytes.clear()
        expect(bytes.joined()).toHaveLength(0)
      }
    }),
  )
})
