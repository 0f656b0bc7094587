import { expect, test } from 'vitest'
import { givenBack } from './bytes.ts'

async function* sliced(slices: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* slices
}

test('memory is given back when the next slice is asked for, but for what others share', async () => {
  const [own, part, shared] = [
    new Uint8Array(4).fill(1),
    new Uint8Array(4).fill(2),
    new SharedArrayBuffer(4),
  ]
  const slices = [own, part.subarray(1), new Uint8Array(shared), Uint8Array.of(3)]
  const sizes: number[] = []
  for await (const slice of givenBack(sliced(slices))) {
    expect(slice.length).toBeGreaterThan(0)
    sizes.push(slice.length)
  }
  expect(sizes).toEqual([4, 3, 4, 1])
  expect(own.length).toBe(0)
  expect([...part]).toEqual([2, 2, 2, 2])
  expect(shared.byteLength).toBe(4)
})
