import { expect, test } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { piecesOfSlices } from '../../testing/split-text.ts'
import { MalformedInputError } from '../errors.ts'
import type { Split, SplitFormat } from '../splits.ts'

const deep = '['.repeat(10_001)

const malformed: readonly (readonly [SplitFormat, string, byte: number, line: number, RegExp])[] = [
  ['json', '{"a": 1}\n{"a": }\n', 16, 2, /a JSON value is missing: found \}/],
  ['json', '{"a": 1}\n {"a"', 11, 2, /cut off/],
  ['json', '[1,\n2,\n]', 8, 3, /a JSON value is missing: found \]/],
  ['json', '{"a" 1}', 6, 1, /a colon is missing: found 1/],
  ['json', '{1: 2}', 2, 1, /a key is missing: found 1/],
  ['json', '[1 2]', 4, 1, /a comma or \] is missing: found 2/],
  ['json', '{"a": 1 "b"}', 9, 1, /a comma or \} is missing: found "/],
  ['json', '"a\nb"', 3, 1, /a control character in a string: found byte 0x0a/],
  ['json', '"\\x"', 3, 1, /no such escape: found x/],
  ['json', '"\\u12g4"', 6, 1, /a hex digit of \\u is missing: found g/],
  ['json', 'nothing', 2, 1, /no such word: found o/],
  ['json', '1.x', 3, 1, /a digit is missing: found x/],
  ['json', '01', 2, 1, /white space before the next value is missing: found 1/],
  ['json', 'truefalse', 5, 1, /white space before the next value is missing: found f/],
  ['json', '-', 1, 1, /cut off/],
  ['json', '\ufeff{}', 1, 1, /a JSON value is missing: found byte 0xef/],
  ['json', deep, 10_001, 1, /nested more than 10000 deep/],
  ['csv', 'a,b\n"c\nd', 5, 2, /never closed/],
  ['csv', '"a\n\nb"\n1,2"3\n', 11, 4, /a quote stands within a field/],
  ['csv', '"a"b\n', 4, 1, /text follows the quote that closes a field/],
  ['sql', 'CREATE TABLE t ();\n', 20, 2, /without a line COPY/],
  ['sql', 'COPY t FROM stdin;\n1\n2\n', 24, 4, /do not end with a line \\\./],
  ['sql', 'COPY t FROM stdin;\n1\n\\', 22, 3, /do not end with a line \\\./],
  ['sql', 'COPY t FROM stdin;\n\\.\n\nCOPY u FROM stdin;\n1\n\\.\n', 24, 4, /second table/],
]

test.each(malformed)(
  '%s that is malformed is refused where it is (%#)',
  async (format, text, byte, line, why) => {
    const bytes = utf8(text)
    const inSlices = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
    for (const slices of [[bytes], inSlices]) {
      const error: unknown = await piecesOfSlices(slices, { format }).catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(MalformedInputError)
      expect(error).toMatchObject({ byte, line, kind: 'invalid-argument' })
      expect(String(error)).toContain(
        `cannot split what is put at "/in": at byte ${byte}, line ${line}: `,
      )
      expect(String(error)).toMatch(why)
    }
  },
)

const refused: readonly (readonly [Partial<Split> & Pick<Split, 'format'>, string, RegExp])[] = [
  [
    { format: 'line', headerRecords: 1 },
    `${'x'.repeat(2_000_000)}\n1\n`,
    /header .* longer than 1048576 bytes/,
  ],
  [
    { format: 'csv', footerRecords: 1 },
    `1\n${'x'.repeat(2_000_000)}\n`,
    /footer .* longer than 1048576 bytes/,
  ],
  [{ format: 'sql' }, 'x\n'.repeat(1_000_000), /all before a line COPY … FROM stdin;\) is longer/],
  [{ format: 'line', headerRecords: 3 }, '1\n2', /has 2 records, fewer than the 3 that its header/],
]

test.each(refused)(
  'a header or footer that does not fit is refused (%#)',
  async (split, text, why) => {
    await expect(piecesOfSlices([utf8(text)], split)).rejects.toThrow(why)
  },
)

test('a header without records behind it makes no pieces', async () => {
  const header = { format: 'csv', headerRecords: 1 } as const
  for (const text of ['a,b\n', 'a,b', '', '\ufeff"a"']) {
    expect(await piecesOfSlices([utf8(text)], header)).toEqual([])
  }
  const sql = 'COPY t (a) FROM stdin;\n\\.\n'
  expect(await piecesOfSlices([utf8(sql)], { format: 'sql' })).toEqual([])
})
