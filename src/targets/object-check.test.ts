import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { areBytesOf } from './object-check.ts'

/** Cut behind each of so many bytes, the last piece at the end. */
function cut(bytes: Uint8Array, sizes: readonly number[]): readonly Uint8Array[] {
  const pieces: Uint8Array[] = []
  let at = 0
  for (const size of sizes) {
    if (at === bytes.length) break
    pieces.push(bytes.subarray(at, at + size))
    at = Math.min(bytes.length, at + size)
  }
  if (at < bytes.length) pieces.push(bytes.subarray(at))
  return pieces
}

async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}

function runsOf(pieces: readonly Uint8Array[]) {
  return each(
    pieces.map((piece) => ({
      hash: createHash('sha256').update(piece).digest(),
      sizeBytes: piece.length,
    })),
  )
}

const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 10 })

test('bytes are those of their runs however they come, and nothing else is', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 60 }),
      sizes,
      sizes,
      async (bytes, runs, slices) => {
        const read = async (from: Uint8Array): Promise<boolean> =>
          areBytesOf(each(cut(from, slices)), runsOf(cut(bytes, runs)))
        expect(await read(bytes)).toBe(true)
        expect(await read(Uint8Array.of(...bytes, 7))).toBe(false)
        expect(await read(Uint8Array.of(7, ...bytes))).toBe(false)
        const shorter = await read(bytes.subarray(0, -1))
        expect(shorter).toBe(bytes.length === 0)
      },
    ),
  )
})
