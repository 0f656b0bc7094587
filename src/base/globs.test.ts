import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InvalidArgumentError } from './errors.ts'
import { parseCapturingGlob, parseGlob } from './globs.ts'
import { parseFilePath } from './paths.ts'

// Pattern, path, whether it matches. Names are Go's own cases where a slash is not at stake.
const matches: readonly (readonly [pattern: string, path: string, isMatch: boolean])[] = [
  ['/', '', true],
  ['', '', true],
  ['/', '/a', false],
  ['/*', '', false],
  ['*', '', false],
  ['/*', '/a', true],
  ['*', '/a', true],
  ['/*', '/a/b', false],
  ['/**', '/a', true],
  ['/**', '/a/b', false],
  ['/**/b', '/a/b', true],
  ['/**/c', '/a/b/c', false],
  ['/*/*', '/a/b', true],
  ['/a/', '/a', true],
  ['//a/./b/../c', '/a/c', true],
  ['/../a', '/a', true],
  ['/a', '/ab', false],
  ['/a*', '/a', true],
  ['/a*', '/abc', true],
  ['/*c', '/abc', true],
  ['/a*/b', '/abc/b', true],
  ['/a*/b', '/a/c/b', false],
  ['/a*b*c*d*e*/f', '/axbxcxdxe/f', true],
  ['/a*b*c*d*e*/f', '/axbxcxdxexxx/f', true],
  ['/a*b*c*d*e*/f', '/axbxcxdxe/xxx/f', false],
  ['/a*b?c*x', '/abxbbxdbxebxczzx', true],
  ['/a*b?c*x', '/abxbbxdbxebxczzy', false],
  ['/ab[c]', '/abc', true],
  ['/ab[b-d]', '/abc', true],
  ['/ab[e-g]', '/abc', false],
  ['/ab[^c]', '/abc', false],
  ['/ab[^b-d]', '/abc', false],
  ['/ab[^e-g]', '/abc', true],
  ['/ab[!c]', '/ab!', true],
  ['/ab[!c]', '/abd', false],
  ['/[z-a]', '/m', false],
  ['/a\\*b', '/a*b', true],
  ['/a\\*b', '/ab', false],
  ['/a?b', '/a☺b', true],
  ['/a[^a]b', '/a☺b', true],
  ['/a???b', '/a☺b', false],
  ['/a[^a][^a][^a]b', '/a☺b', false],
  ['/?', '/𝒳', true],
  ['/[a-ζ]*', '/α', true],
  ['/*[a-ζ]', '/A', false],
  ['/a?b', '/a/b', false],
  ['/a*b', '/a/b', false],
  ['/a[^x]b', '/a/b', false],
  ['/[\\]a]', '/]', true],
  ['/[\\-]', '/-', true],
  ['/[x\\-]', '/x', true],
  ['/[x\\-]', '/-', true],
  ['/[x\\-]', '/z', false],
  ['/[\\-x]', '/-', true],
  ['/[[]', '/[', true],
  ['/*x', '/xxx', true],
  ['/{a,b}', '/a', false],
  ['/{a,b}', '/{a,b}', true],
  ['/a]', '/a]', true],
  ['/a\\/b', '/a/b', true],
  ['/.*', '/.hidden', true],
  ['/*', '/.hidden', true],
]

test.each(matches)('%j on %j: %s', (pattern, path, isMatch) => {
  expect(parseGlob(pattern).matches(parseFilePath(path))).toBe(isMatch)
})

test.each([
  '[',
  '/[',
  '/[]a]',
  '/[-]',
  '/[x-]',
  '/[-x]',
  '/[a-b-c]',
  '/[^',
  '/[^]',
  '/[^bc',
  '/[a',
  '/[a-',
  '/a[',
  '/a\\',
  '/b/\\',
  '/*[',
  '/[\\',
])('%j is malformed, and says so before it matches anything', (pattern) => {
  expect(() => parseGlob(pattern)).toThrow(InvalidArgumentError)
})

test('the message on a malformed glob names its cleaned form', () => {
  expect(() => parseGlob('[')).toThrow('glob "/[" is malformed')
})

function component(pattern: string): { literal: string | undefined; prefix: string | undefined } {
  const [only] = parseGlob(pattern).components
  return { literal: only?.literal, prefix: only?.prefix }
}

describe('a component', () => {
  test('without wildcards is literal, its escapes resolved', () => {
    expect(component('/a\\*b')).toEqual({ literal: 'a*b', prefix: 'a*b' })
  })

  test('with wildcards tells what its matches begin with', () => {
    expect(component('/file-*')).toEqual({ literal: undefined, prefix: 'file-' })
    expect(component('/*')).toEqual({ literal: undefined, prefix: '' })
    expect(component('/[a]b')).toEqual({ literal: undefined, prefix: '' })
  })
})

test('many stars on a long name take no more than their product in steps', () => {
  const [stars] = parseGlob(`/${'*a'.repeat(200)}b`).components
  expect(stars?.matches('a'.repeat(1000))).toBe(false)
})

// What each piece means as a regular expression on one name: an independent matcher.
const pieces = fc.constantFrom(
  ['*', '.*'],
  ['?', '.'],
  ['[a-b]', '[a-b]'],
  ['[^a]', '[^a]'],
  ['[\\-\\]]', '[\\-\\]]'],
  ['\\a', 'a'],
  ['\\*', '\\*'],
  ['a', 'a'],
  ['b', 'b'],
  ['☺', '☺'],
)
const names = fc
  .array(fc.constantFrom('a', 'b', '*', '-', '☺'), { minLength: 1, maxLength: 6 })
  .map((characters) => characters.join(''))

test('globs match what the regular expressions of their components match', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(pieces, { minLength: 1, maxLength: 6 }), { maxLength: 3 }),
      fc.array(names, { maxLength: 3 }),
      (components, path) => {
        const text = components.map((parts) => parts.map(([piece]) => piece).join('')).join('/')
        const isMatch =
          components.length === path.length &&
          components.every((parts, index) => {
            const meaning = parts.map(([, expression]) => expression).join('')
            return new RegExp(`^(?:${meaning})$`, 'su').test(path[index] ?? '')
          })
        expect(parseGlob(text).matches(parseFilePath(path.join('/')))).toBe(isMatch)
      },
    ),
    { numRuns: 2000 },
  )
})

test('a glob or path of megabytes is refused before anything goes through it', () => {
  const long = 'a/'.repeat(5_000_000)
  expect(() => parseGlob(long)).toThrow(/glob of 10000000 characters is too long: at most 16384/)
  expect(() => parseFilePath(long)).toThrow(/path of 10000000 characters is too long: at most 4096/)
})

function capture(glob: string, path: string): readonly string[] | undefined {
  return parseCapturingGlob(glob).capture(parseFilePath(path))
}

test('parentheses capture, and an earlier star takes as much as it can', () => {
  expect(capture('/(*)-(*).txt', '/a-b-c.txt')).toEqual(['a-b', 'c'])
  expect(capture('/((?)*)/[(]*', '/xyz/(1')).toEqual(['xyz', 'x'])
  expect(capture('/()(a)\\(*', '/a(b')).toEqual(['', 'a'])
  expect(capture('/(*).txt', '/a.csv')).toBeUndefined()
  expect(capture('/*/x', '/a/x')).toEqual([])
  expect(parseGlob('/(*)').matches(parseFilePath('/a'))).toBe(false)
})

test.each(['/(*', '/a)', '/(*/*)', '/(a', '/)('])('the capturing glob %s is refused', (glob) => {
  expect(() => parseCapturingGlob(glob)).toThrow('needs its ")"')
})

test('captures take no more than name length times pattern length in steps', () => {
  const glob = parseCapturingGlob(`/${'(*)a'.repeat(200)}b`)
  expect(glob.capture(parseFilePath(`/${'a'.repeat(1000)}`))).toBeUndefined()
  const many = parseCapturingGlob(`/${'(*)'.repeat(500)}`)
  expect(many.capture(parseFilePath(`/${'a'.repeat(1000)}`))?.[0]).toBe('a'.repeat(1000))
})

const capturePieces = fc.oneof(
  pieces.map(([piece, expression]) => [piece, expression] as const),
  pieces.map(([piece, expression]) => [`(${piece})`, `(${expression})`] as const),
)

test('captures are those of the regular expressions of components', () => {
  fc.assert(
    fc.property(fc.array(capturePieces, { minLength: 1, maxLength: 6 }), names, (parts, name) => {
      const glob = parseCapturingGlob(`/${parts.map(([piece]) => piece).join('')}`)
      const meaning = parts.map(([, expression]) => expression).join('')
      const match = new RegExp(`^(?:${meaning})$`, 'su').exec(name)
      expect(glob.capture(parseFilePath(`/${name}`))).toEqual(match?.slice(1))
    }),
    { numRuns: 2000 },
  )
})
