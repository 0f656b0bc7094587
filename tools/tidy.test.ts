// What the other tools cannot see: where files are, what they are called, and what must not be in them.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'

const lineCountMax = 500
const bannedNames = new Set(['utils', 'util', 'helpers', 'helper', 'types', 'manager', 'index'])

/** The files of the project, also those not yet added to git. */
const paths = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
  encoding: 'utf8',
})
  .split('\0')
  .filter((path) => path !== '' && existsSync(path))

const sources = paths.filter((path) => path.endsWith('.ts') && !path.startsWith('src/gen/'))
const products = sources.filter(
  (path) =>
    path.startsWith('src/') &&
    !path.startsWith('src/testing/') &&
    !path.startsWith('src/bin/') &&
    !path.endsWith('.test.ts'),
)

/** `path:line` of every line of `files` that matches. */
function find(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  )
}

test('no file lies loose in src/', () => {
  expect(paths.filter((path) => /^src\/[^/]+$/.test(path))).toEqual([])
})

test('every source file is named for what it holds', () => {
  const banned = sources.filter((path) =>
    bannedNames.has(basename(path).replace(/(\.\w+)?\.ts$/, '')),
  )
  expect(banned).toEqual([])
})

test(`every source file has at most ${lineCountMax} lines, or says why not`, () => {
  const long = sources.filter((path) => {
    const text = readFileSync(path, 'utf8')
    return text.split('\n').length - 1 > lineCountMax && !text.includes('oxlint-disable max-lines')
  })
  expect(long).toEqual([])
})

test('every page of docs/formats is named by a test', () => {
  const pages = paths.filter((path) => /^docs\/formats\/.*\.md$/.test(path))
  const tests = sources
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n')
  expect(pages.filter((page) => !tests.includes(page))).toEqual([])
})

test('the present is read from a clock that the caller gives', () => {
  const files = products.filter((path) => path !== 'src/base/clock.ts')
  expect(find(files, /\bnew Date\(\)|\bDate\(\)|\bhrtime\b/)).toEqual([])
})

test('no test is left focused, and no debugger in the code', () => {
  expect(find(sources, /\b(?:test|describe|it)\.only\(|^\s*debugger\b/)).toEqual([])
})

test('no file names a folder of one machine', () => {
  const texts = paths.filter((path) => /\.(?:ts|mjs|md|json|sh|ya?ml|proto|html|css)$/.test(path))
  expect(find(texts, /(?:^|[\s'"`(=:])\/(?:work|home|Users)\/\w/)).toEqual([])
})

/** The lines of a page outside blocks of code. */
function proseOf(page: string): string {
  return readFileSync(page, 'utf8').replaceAll(/^```.*?^```/gms, '')
}

/** What a page's headings are linked by. */
function anchorsOf(page: string): ReadonlySet<string> {
  const headings = [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
    text
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )
  return new Set(headings)
}

test('every link of a page leads to a file, and to a heading of it', () => {
  const pages = paths.filter((path) => path.endsWith('.md'))
  const broken = pages.flatMap((page) =>
    [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
      if (/^[a-z]+:/.test(link)) return []
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : normalize(join(dirname(page), path))
      const leads =
        existsSync(target) &&
        (anchor === undefined || !target.endsWith('.md') || anchorsOf(target).has(anchor))
      return leads ? [] : [`${page}: ${link}`]
    }),
  )
  expect(broken).toEqual([])
})
