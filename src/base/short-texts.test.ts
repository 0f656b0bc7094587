import { expect, test } from 'vitest'
import { utf8 } from './bytes.ts'
import { checkShortText, shortTextBytesMax, shownText } from './short-texts.ts'

const check = (text: string): string => checkShortText(text, 'the note', 'write less')

test('a text of 4,096 bytes is taken, one more is refused with what to do', () => {
  expect(check('')).toBe('')
  const full = `${'a'.repeat(shortTextBytesMax - 2)}ü`
  expect(check(full)).toBe(full)
  expect(() => check(`${full}a`)).toThrow(
    'the note is too long: at most 4096 bytes are allowed, and it has 4097; write less',
  )
  expect(() => check('ü'.repeat(5000))).toThrow('it has at least 5000;')
})

test('a longer text that is stored already is shown up to that length, cut between characters', () => {
  const full = `${'a'.repeat(shortTextBytesMax - 2)}ü`
  expect(shownText(full)).toBe(full)
  expect(shownText('short')).toBe('short')
  expect(shownText(`${'a'.repeat(shortTextBytesMax - 1)}ü`)).toBe(
    `${'a'.repeat(shortTextBytesMax - 1)}…`,
  )
  expect(shownText('😀'.repeat(2000))).toBe(`${'😀'.repeat(1024)}…`)
  expect(utf8(shownText('x'.repeat(10_000_000))).length).toBe(shortTextBytesMax + 3)
})
