import { describe, expect, test } from 'vitest'
import { evaluateConditions, isRangeCurrent } from './conditions.ts'
import { contentDisposition } from './headers.ts'
import { prefersPage } from './listing-answer.ts'
import { mediaTypeOf } from './media-types.ts'
import { linkToRoot, parseTarget } from './routes.ts'

describe('the URL of a request', () => {
  const base = '/v1/pfs/repos'
  test.each([
    ['/v1/pfs/repos', { kind: 'repos' }, 0],
    ['/v1/pfs/repos/', { kind: 'repos' }, 1],
    ['/v1/pfs/repos/?x=1', { kind: 'repos' }, 1],
    [`${base}/r`, { kind: 'repo', repo: 'r' }, 1],
    [`${base}/r/commits/`, { kind: 'repo', repo: 'r' }, 3],
    [`${base}/r/commits/master`, { kind: 'commit', repo: 'r', commit: 'master' }, 3],
    [`${base}/r/commits/master/`, { kind: 'commit', repo: 'r', commit: 'master' }, 4],
    [`${base}/r/commits/m/files`, { kind: 'files', repo: 'r', commit: 'm', path: '' }, 0],
    [`${base}/r/commits/m/files/`, { kind: 'files', repo: 'r', commit: 'm', path: '' }, 1],
    [`${base}/r/commits/m/files/a/b`, { kind: 'files', repo: 'r', commit: 'm', path: 'a/b' }, 2],
    [`${base}/r/commits/m/files/a%2Fb`, { kind: 'files', repo: 'r', commit: 'm', path: 'a/b' }, 1],
    [
      `${base}/r/commits/a%2Fb/files/%E6%97%A5%20+`,
      { kind: 'files', repo: 'r', commit: 'a/b', path: '日 +' },
      1,
    ],
    [
      `${base}/r/commits/master%5E~2/files/a`,
      { kind: 'files', repo: 'r', commit: 'master^~2', path: 'a' },
      1,
    ],
    [`http://proxy:1${base}/r`, { kind: 'repo', repo: 'r' }, 1],
  ] as const)('%j', (url, route, depth) => {
    expect(parseTarget(url)).toMatchObject({ route, depth })
  })

  test.each([
    '/',
    '/v1/pfs',
    '/v1//pfs/repos',
    '/v2/pfs/repos',
    `${base}/r/x`,
    `${base}/r/commits/m/x`,
    `${base}/r/commits//x`,
    `${base}//commits/m`,
    '*',
    '',
  ])('%j is none of ours', (url) => {
    expect(parseTarget(url)).toBeUndefined()
  })

  test.each(['%', '%zz', '%ff', '%c3', '%ed%a0%80'])('%j in it is refused, with advice', (text) => {
    expect(() => parseTarget(`${base}/r/commits/m/files/${text}`)).toThrow('%25')
  })

  test('has its query beside it', () => {
    const target = parseTarget(`${base}/r/commits/m/files/a?download=false&format=json`)
    expect(target?.query.get('download')).toBe('false')
    expect(target?.query.get('format')).toBe('json')
  })

  test('leads to the root of its page from wherever that is', () => {
    for (const [url, rootName] of [
      [`${base}/r/commits/m/files`, 'files'],
      [`${base}/r/commits/m/files/`, 'files'],
      [`${base}/r/commits/m/files/a`, 'files'],
      [`${base}/r/commits/m/files/a/b/`, 'files'],
      [base, 'repos'],
      [`${base}/r`, 'repos'],
      [`${base}/r/commits/`, 'repos'],
      [`${base}/r/commits/m`, 'repos'],
    ] as const) {
      const link = linkToRoot(rootName, parseTarget(url)?.depth ?? -1)
      // Behind a proxy that has the door at another path, too.
      const led = new URL(link, `http://proxy/elsewhere${url}`).pathname
      const root = rootName === 'repos' ? `${base}/` : `${base}/r/commits/m/files/`
      expect(led).toBe(`/elsewhere${root}`)
    }
  })
})

describe('conditions', () => {
  const tag = '"abc"'
  test.each([
    [{}, 'go on'],
    [{ 'if-none-match': tag }, 'not modified'],
    [{ 'if-none-match': `W/${tag}` }, 'not modified'],
    [{ 'if-none-match': `"x", ${tag}` }, 'not modified'],
    [{ 'if-none-match': '*' }, 'not modified'],
    [{ 'if-none-match': '"x"' }, 'go on'],
    [{ 'if-none-match': 'abc' }, 'go on'],
    [{ 'if-match': tag }, 'go on'],
    [{ 'if-match': '*' }, 'go on'],
    [{ 'if-match': `W/${tag}` }, 'failed'],
    [{ 'if-match': '"x"' }, 'failed'],
    [{ 'if-match': '"x"', 'if-none-match': tag }, 'failed'],
    [{ 'if-modified-since': 'Thu, 26 Nov 2099 03:25:39 GMT' }, 'go on'],
  ] as const)('%j: %s', (headers, outcome) => {
    expect(evaluateConditions(headers, tag)).toBe(outcome)
  })

  test('a range is of the same file only, by its tag', () => {
    expect(isRangeCurrent({}, tag)).toBe(true)
    expect(isRangeCurrent({ 'if-range': tag }, tag)).toBe(true)
    for (const other of ['"x"', `W/${tag}`, 'Thu, 26 Nov 2026 03:25:39 GMT', '*']) {
      expect(isRangeCurrent({ 'if-range': other }, tag)).toBe(false)
    }
  })
})

test.each([
  [undefined, false],
  ['*/*', false],
  ['text/*', false],
  ['application/json', false],
  ['text/html', true],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', true],
  ['application/json, text/html;q=0.5', false],
  ['text/html;q=0', false],
  ['TEXT/HTML; q=1.0, application/json;q=0.9', true],
])('who accepts %j would rather have a page: %s', (accept, isPage) => {
  expect(prefersPage(accept)).toBe(isPage)
})

test.each([
  ['a.csv', 'attachment; filename="a.csv"'],
  ['with blanks.txt', 'attachment; filename="with blanks.txt"'],
  ['a"b\\c', `attachment; filename="a_b_c"; filename*=UTF-8''a%22b%5Cc`],
  ['100%', `attachment; filename="100_"; filename*=UTF-8''100%25`],
  ['é日🙂.csv', `attachment; filename="___.csv"; filename*=UTF-8''%C3%A9%E6%97%A5%F0%9F%99%82.csv`],
  ["it's(*)é", `attachment; filename="it's(*)_"; filename*=UTF-8''it%27s%28%2A%29%C3%A9`],
  [
    'a\r\nset-cookie: x',
    `attachment; filename="a__set-cookie: x"; filename*=UTF-8''a%0D%0Aset-cookie%3A%20x`,
  ],
])('%j is stored under its name', (name, header) => {
  expect(contentDisposition('attachment', name)).toBe(header)
})

test.each([
  ['a.csv', 'text/csv; charset=utf-8'],
  ['a.TXT', 'text/plain; charset=utf-8'],
  ['a.html', 'text/html; charset=utf-8'],
  ['a.svg', 'image/svg+xml; charset=utf-8'],
  ['a.json', 'application/json; charset=utf-8'],
  ['a.png', 'image/png'],
  ['a.parquet', 'application/vnd.apache.parquet'],
  ['notebook.ipynb', 'application/json; charset=utf-8'],
  ['a.tar.gz', 'application/gzip'],
  ['html', 'application/octet-stream'],
  ['a.unheard-of', 'application/octet-stream'],
  ['a.constructor', 'application/octet-stream'],
  ['.', 'application/octet-stream'],
])('%j is of type %s', async (name, type) => {
  expect(await mediaTypeOf(name)).toBe(type)
})
