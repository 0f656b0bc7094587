import { expect, test } from 'vitest'
import { exactSizeText, parseSize, sizeText } from './sizes.ts'

test('sizes have at most four digits, in units of 1024', () => {
  const sizes = [0, 33, 1023, 1024, 1536, 2219, 1024 ** 2 - 1, 12.5 * 1024 ** 3, 2n ** 63n]
  expect(sizes.map(sizeText)).toEqual([
    '0B',
    '33B',
    '1023B',
    '1KiB',
    '1.5KiB',
    '2.167KiB',
    '1024KiB',
    '12.5GiB',
    '8EiB',
  ])
})

test.each([
  ['0', 0],
  ['10', 10],
  ['1B', 1],
  ['2kB', 2000],
  ['2KB', 2000],
  ['1KiB', 1024],
  ['20M', 20_000_000],
  ['20MB', 20_000_000],
  ['500MiB', 500 * 1024 ** 2],
  ['1.5G', 1_500_000_000],
  ['2Ti', 2 * 1024 ** 4],
  ['1500m', 2],
])('the size %s is %d bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

test.each(['', 'B', 'lots', '-1', '1X', '1iB', '9999999999T', '10 MB'])('%j is no size', (text) => {
  expect(parseSize(text)).toBeUndefined()
})

test('a size that is told exactly reads as the same bytes', () => {
  const sizes = [1, 1000, 1024, 1500, 10_000_000, 3 * 2 ** 30]
  const texts = sizes.map(exactSizeText)
  expect(texts).toEqual(['1B', '1kB', '1KiB', '1500B', '10MB', '3GiB'])
  expect(texts.map(parseSize)).toEqual(sizes)
})
