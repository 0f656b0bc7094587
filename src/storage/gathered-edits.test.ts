import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes, copyBytes } from '../base/bytes.ts'
import { GatheredEdits } from './gathered-edits.ts'
import type { MapEdit } from './prolly-map.ts'

const wide = { countMax: 1000, bytesMax: 1_000_000 }

const distinctEdits = fc.uniqueArray(
  fc.record({
    key: fc.uint8Array({ maxLength: 6 }),
    value: fc.option(fc.uint8Array({ maxLength: 6 }), { nil: undefined }),
  }),
  { selector: ({ key }) => key.join(), maxLength: 40 },
)

function inOrder(edits: readonly MapEdit[]): readonly MapEdit[] {
  return edits.toSorted((left, right) => compareBytes(left.key, right.key))
}

/** What comes is lent, and may lie in memory of any kind. */
function givenBy(edits: GatheredEdits): readonly MapEdit[] {
  return Array.from(edits.sorted(), ({ key, value }) => ({
    key: copyBytes(key),
    value: value && copyBytes(value),
  }))
}

test('edits come in the order of their keys, removals and empty values told apart', () => {
  const edits = new GatheredEdits(wide)
  fc.assert(
    fc.property(distinctEdits, (some) => {
      edits.clear()
      for (const edit of some) edits.add(edit)
      expect(edits.isEmpty).toBe(some.length === 0)
      expect(givenBy(edits)).toEqual(inOrder(some))
      expect(givenBy(edits)).toEqual(inOrder(some))
    }),
  )
})

test('edits that outgrow the memory that they began with are as they were', () => {
  const edits = new GatheredEdits(wide)
  const large = Array.from({ length: 7 }, (_, index) => ({
    key: Uint8Array.of(7 - index),
    value: new Uint8Array(50_000).fill(index),
  }))
  for (const edit of large) edits.add(edit)
  expect(givenBy(edits)).toEqual(inOrder(large))
})

test('edits are enough at a count, and at a size', () => {
  const few = new GatheredEdits({ countMax: 2, bytesMax: 1000 })
  few.add({ key: Uint8Array.of(1), value: undefined })
  expect(few.isFull).toBe(false)
  few.add({ key: Uint8Array.of(2), value: undefined })
  expect(few.isFull).toBe(true)
  const small = new GatheredEdits({ countMax: 100, bytesMax: 10 })
  small.add({ key: Uint8Array.of(1), value: new Uint8Array(4) })
  expect(small.isFull).toBe(false)
  small.add({ key: Uint8Array.of(2), value: new Uint8Array(4) })
  expect(small.isFull).toBe(true)
  small.clear()
  expect([small.isFull, small.isEmpty]).toEqual([false, true])
})
