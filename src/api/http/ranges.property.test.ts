import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRange } from './ranges.ts'

/** Sizes of files, and positions in them and beyond. */
const size = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant(2 ** 52))
const position = fc.oneof(fc.integer({ min: 0, max: 25 }), fc.constant(2 ** 52 - 1))
const whole = { kind: 'whole' }
const unsatisfiable = { kind: 'unsatisfiable' }

describe('a Range header', () => {
  test('from a first to a last byte means these, as far as they are there', () => {
    fc.assert(
      fc.property(size, position, position, (sizeBytes, first, last) => {
        const range = parseRange(`bytes=${first}-${last}`, sizeBytes)
        const end = Math.min(last + 1, sizeBytes)
        const isThere = first < sizeBytes
        expect(range).toEqual(
          last < first ? whole : isThere ? { kind: 'part', start: first, end } : unsatisfiable,
        )
      }),
    )
  })

  test('from a byte on means the rest', () => {
    fc.assert(
      fc.property(size, position, (sizeBytes, first) => {
        const range = parseRange(`bytes=${first}-`, sizeBytes)
        const isThere = first < sizeBytes
        expect(range).toEqual(
          isThere ? { kind: 'part', start: first, end: sizeBytes } : unsatisfiable,
        )
      }),
    )
  })

  test('of a count alone means so many at the end', () => {
    fc.assert(
      fc.property(size, position, (sizeBytes, count) => {
        const range = parseRange(`bytes=-${count}`, sizeBytes)
        const start = Math.max(0, sizeBytes - count)
        const part = { kind: 'part', start, end: sizeBytes }
        expect(range).toEqual(count === 0 ? unsatisfiable : sizeBytes === 0 ? whole : part)
      }),
    )
  })

  test('whatever it is, a part lies in the file and is not empty', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('bytes', '=', '-', ',', '0', '7', '9', ' ', 'x') }),
    )
    fc.assert(
      fc.property(size, text, (sizeBytes, header) => {
        const range = parseRange(header, sizeBytes)
        if (range.kind !== 'part') return
        expect(range.start).toBeGreaterThanOrEqual(0)
        expect(range.end).toBeGreaterThan(range.start)
        expect(range.end).toBeLessThanOrEqual(sizeBytes)
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=1',
    'bytes=1-2-3',
    'bytes=+1-2',
    'bytes=0x1-2',
    'bytes=1 -2',
    'items=0-1',
    'bytes=0-1,x',
    'bytes=2-1',
  ])('%j means the whole file', (header) => {
    expect(parseRange(header, 10)).toEqual({ kind: 'whole' })
  })

  test.each(['bytes=0-1,3-4', 'bytes=0-0, -1', 'bytes=0-1,,5-'])('%j is several', (header) => {
    expect(parseRange(header, 10)).toEqual({ kind: 'several' })
  })

  test('may have blanks, another case, an empty list member, and more digits than a number', () => {
    const all = { kind: 'part', start: 0, end: 10 }
    expect(parseRange('  Bytes = 0-9 ', 10)).toEqual(all)
    expect(parseRange('bytes=,0-9,', 10)).toEqual(all)
    expect(parseRange(`bytes=0-${'9'.repeat(400)}`, 10)).toEqual(all)
    expect(parseRange(`bytes=-${'9'.repeat(400)}`, 10)).toEqual(all)
    expect(parseRange(`bytes=${'9'.repeat(400)}-`, 10)).toEqual({ kind: 'unsatisfiable' })
  })
})
