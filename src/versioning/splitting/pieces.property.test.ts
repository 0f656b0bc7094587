import { rejects } from 'node:assert/strict'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { piecesOfSlices } from '../../testing/split-text.ts'
import type { SplitFormat } from '../splits.ts'

const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 })

/** The bytes of a text, in slices. */
function cut(text: string, where: readonly number[]): readonly Uint8Array[] {
  const slices: Uint8Array[] = []
  let rest = utf8(text)
  for (const fraction of where) {
    const at = Math.floor(fraction * rest.length)
    slices.push(rest.subarray(0, at))
    rest = rest.subarray(at)
  }
  return [...slices, rest]
}

const targets = fc.record({ targetRecords: fc.nat(4), targetBytes: fc.nat(30) })
type Targets = typeof targets extends fc.Arbitrary<infer Value> ? Value : never

/** The rule of 1.5: a piece is closed as soon as it has reached one of the targets. */
function grouped(
  records: readonly string[],
  { targetRecords, targetBytes }: Targets,
): readonly string[] {
  const pieces: string[] = []
  let piece: string[] = []
  for (const record of records) {
    piece.push(record)
    const sizeBytes = utf8(piece.join('')).length
    const isFull =
      (targetBytes !== 0 && sizeBytes >= targetBytes) ||
      (targetRecords !== 0 && piece.length >= targetRecords) ||
      (targetBytes === 0 && targetRecords === 0)
    if (!isFull) continue
    pieces.push(piece.join(''))
    piece = []
  }
  return piece.length === 0 ? pieces : [...pieces, piece.join('')]
}

const lines = fc.array(fc.constantFrom('', 'a', '\r', 'some text', 'é€\0', '"', 'x'.repeat(40)), {
  maxLength: 12,
})
const lineText = fc
  .record({ lines, isEnded: fc.boolean() })
  .map(({ lines: all, isEnded }) => all.map((line) => `${line}\n`).join('') + (isEnded ? '' : 'z'))
const linesOf = (text: string): readonly string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? []

const space = fc.constantFrom('', ' ', '\n', '\t\r\n', '  ')
const json = fc
  .jsonValue({ maxDepth: 3 })
  .chain((value) => fc.constantFrom(JSON.stringify(value), JSON.stringify(value, undefined, 1)))
const jsonRun = fc.array(fc.tuple(space, json), { maxLength: 8 }).map((parts) => ({
  values: parts.map(([, value]) => value),
  // A space more, since numbers and words need one.
  text: parts.map(([before, value]) => `${before} ${value}`).join(''),
}))

const field = fc.oneof(
  fc.constantFrom('', 'a', 'some text', 'é', ' b '),
  fc
    .array(fc.constantFrom('a', '""', '\n', '\r\n', ',', ';', 'é'), { maxLength: 5 })
    .map((parts) => `"${parts.join('')}"`),
)
const separator = fc.constantFrom(',', ';', '\t', '|')
const csvRecord = fc
  .tuple(fc.array(field, { minLength: 1, maxLength: 4 }), separator, fc.constantFrom('\n', '\r\n'))
  .map(([fields, between, end]) => fields.join(between) + end)
const csv = fc
  .record({ records: fc.array(csvRecord, { maxLength: 8 }), mark: fc.boolean() })
  .map(({ records, mark }) =>
    mark && records.length > 0 ? [`\ufeff${records[0]}`, ...records.slice(1)] : records,
  )

describe('pieces, whatever the slices in which the stream comes', () => {
  test('of lines are all its lines, in groups that reach a target', async () => {
    await fc.assert(
      fc.asyncProperty(lineText, targets, fractions, async (text, target, where) => {
        const pieces = await piecesOfSlices(cut(text, where), { format: 'line', ...target })
        expect(pieces).toEqual(grouped(linesOf(text), target))
        expect(pieces.join('')).toBe(text)
      }),
    )
  })

  test('of JSON are the texts of its values, without the space between them', async () => {
    await fc.assert(
      fc.asyncProperty(jsonRun, targets, fractions, async ({ text, values }, target, where) => {
        const pieces = await piecesOfSlices(cut(text, where), { format: 'json', ...target })
        expect(pieces).toEqual(grouped(values, target))
      }),
    )
  })

  test('of CSV are its records, also with line breaks within quotes', async () => {
    await fc.assert(
      fc.asyncProperty(csv, targets, fractions, async (records, target, where) => {
        const slices = cut(records.join(''), where)
        const pieces = await piecesOfSlices(slices, { format: 'csv', ...target })
        expect(pieces).toEqual(grouped(records, target))
      }),
    )
  })

  test('each have the header and the footer, and between them all that is left', async () => {
    const counts = fc.record({ headerRecords: fc.nat(3), footerRecords: fc.nat(3) })
    await fc.assert(
      fc.asyncProperty(csv, targets, counts, fractions, async (records, target, count, where) => {
        const { headerRecords, footerRecords } = count
        const split = { format: 'csv', ...target, ...count } as const
        const run = piecesOfSlices(cut(records.join(''), where), split)
        if (records.length > 0 && records.length < headerRecords + footerRecords) {
          return rejects(run, /fewer than the [123] that its (header|footer)/)
        }
        const header = records.slice(0, headerRecords).join('')
        const footer = records.slice(records.length - footerRecords).join('')
        const body = records.slice(headerRecords, records.length - footerRecords)
        expect(await run).toEqual(grouped(body, target).map((piece) => header + piece + footer))
      }),
    )
  })

  test('of a dump each have all before its rows, some rows, and all behind them', async () => {
    const header = '--\n-- PostgreSQL database dump\n--\n\nCOPY public.t (id, name) FROM stdin;\n'
    const row = fc.constantFrom(
      '1\ta\n',
      '2\t\\\\.\n',
      '\\N\t\n',
      '\n',
      '\\.x\n',
      '.\n',
      '\\\n',
      '\\..\n',
    )
    const footers = fc.constantFrom(
      '\\.\n',
      '\\.',
      '\\.\r\n\n-- end\n',
      '\\.\nALTER TABLE t;\n\\.\n',
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 8 }),
        footers,
        targets,
        fractions,
        async (rows, footer, target, where) => {
          const slices = cut(header + rows.join('') + footer, where)
          const pieces = await piecesOfSlices(slices, { format: 'sql', ...target })
          const expected = grouped(rows, target).map((piece) => header + piece + footer)
          expect(pieces).toEqual(expected)
        },
      ),
    )
  })
})

const jsonTokens = '{ } [ ] , : " "a" \\ \\u00 1 0 9 - . e + true nul l'
  .split(' ')
  .concat(' ', '\n', '\u0001')
const jsonish = fc
  .array(fc.constantFrom(...jsonTokens), { maxLength: 7 })
  .map((parts) => parts.join(''))

function isValue(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('a text is one JSON value to the splitter exactly when it is to JSON.parse', async () => {
  await fc.assert(
    fc.asyncProperty(jsonish, fractions, async (text, where) => {
      const pieces = await piecesOfSlices(cut(text, where), { format: 'json' }).catch(() => [])
      expect(pieces.length === 1).toBe(isValue(text))
      expect(pieces.every(isValue)).toBe(true)
    }),
    { numRuns: 1000 },
  )
})

test('pieces of every size are whole, also those that are more than a chunk', async () => {
  const sizes = [1, 64, 65, 4095, 4096, 262_143, 262_144, 262_145, 1, 700_000, 5_000_000, 10]
  const text = sizes.map((size, index) => `${String(index % 10).repeat(size - 1)}\n`).join('')
  for (const sliceBytes of [1000, 65_536, 300_000, 20_000_000]) {
    const slices: Uint8Array[] = []
    const bytes = utf8(text)
    for (let at = 0; at < bytes.length; at += sliceBytes) {
      slices.push(bytes.subarray(at, at + sliceBytes))
    }
    const pieces = await piecesOfSlices(slices, { format: 'line' })
    expect(pieces.map(({ length }) => length)).toEqual(sizes)
    expect(pieces.join('') === text).toBe(true)
  }
})

const formats: readonly SplitFormat[] = ['line', 'json', 'csv', 'sql']

test.each(formats)('of nothing, %s has no pieces', async (format) => {
  expect(await piecesOfSlices([], { format })).toEqual([])
  expect(await piecesOfSlices([new Uint8Array(0)], { format })).toEqual([])
})
