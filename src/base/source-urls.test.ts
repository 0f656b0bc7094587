import { expect, test } from 'vitest'
import {
  hasPassword,
  isBarePfsUrl,
  isSourceUrl,
  ownSourceName,
  parseSourceUrl,
  shownSource,
} from './source-urls.ts'

test('every kind of URL is read, and has a name of its own', () => {
  const table: readonly (readonly [string, object, string])[] = [
    ['https://host/a/b%20c?x=1', { kind: 'http' }, 'a/b c'],
    ['http://host/', { kind: 'http' }, ''],
    ['s3://bucket/dir/k%25', { kind: 's3', bucket: 'bucket', key: 'dir/k%' }, 'dir/k%'],
    ['s3://bucket', { kind: 's3', bucket: 'bucket', key: '' }, ''],
    ['gs://bucket/dir/', { kind: 'gcs', bucket: 'bucket', key: 'dir/' }, 'dir'],
    ['gcs://bucket/k%3Fv', { kind: 'gcs', bucket: 'bucket', key: 'k?v' }, 'k?v'],
    [
      's3://bucket/k%3Fv?endpoint=http://localhost:9000&region=eu-x-1',
      { key: 'k?v', endpoint: 'http://localhost:9000', region: 'eu-x-1' },
      'k?v',
    ],
    ['as://host/box/k', { kind: 'azure', bucket: 'box', key: 'k' }, 'k'],
    [
      'wasb://box@acc.blob.core.windows.net/d/k',
      { kind: 'azure', bucket: 'box', key: 'd/k', account: 'acc' },
      'd/k',
    ],
    [
      'wasbs://acc.blob.core.windows.net/box/k',
      { kind: 'azure', bucket: 'box', key: 'k', account: 'acc' },
      'k',
    ],
    [
      'pfs://h:650/repo/master/d/f',
      { kind: 'pfs', host: 'h', port: 650, repo: 'repo', commit: 'master', path: ['d', 'f'] },
      'd/f',
    ],
    [
      'pfs://[::1]/repo/master%2F3//d/',
      { kind: 'pfs', host: '::1', port: 30650, repo: 'repo', commit: 'master/3', path: ['d'] },
      'd',
    ],
    [
      '10.0.0.1:650/repo/master',
      { kind: 'pfs', host: '10.0.0.1', port: 650, repo: 'repo', commit: 'master', path: [] },
      '',
    ],
  ]
  for (const [text, parsed, name] of table) {
    expect(isSourceUrl(text)).toBe(true)
    expect(parseSourceUrl(text)).toMatchObject(parsed)
    expect(ownSourceName(parseSourceUrl(text))).toBe(name)
  }
})

test('what is no URL of a known kind is refused in words', () => {
  for (const [text, why] of [
    ['ftp://host/x', 'error parsing url ftp://host/x: unrecognized object store: ftp'],
    ['localhost:650/repo', 'unrecognized object store: localhost'],
    ['http://', 'not a URL'],
    ['s3:///key', 'cannot be a bucket'],
    ['s3://b ucket/key', 'cannot be a bucket'],
    ['as://host/../k', 'cannot be a container'],
    ['s3://bucket/100%', 'write %25'],
    [
      's3://bucket/k?v',
      'there are endpoint and region; write a question mark that belongs to a key as %3F',
    ],
    ['s3://bucket/k?endpoint=http://:pw@x', 'its endpoint is no address'],
    ['gs://bucket/k?endpoint=http://x', 'only s3:// takes settings behind a question mark; write'],
    ['as://host/box/k?sig=x', 'only s3:// takes settings'],
    ['pfs://host/repo', 'pfs put-file path must be of form repo/commit[/path/to/file] got: /repo'],
    ['pfs://host:99999/repo/master', 'is no address'],
    ['pfs://a@host/repo/master', 'is no address'],
  ] as const) {
    expect(() => parseSourceUrl(text)).toThrow(why)
  }
})

test('local paths are not taken for URLs', () => {
  for (const path of ['a', './a:1/b/c', 'a:b/c/d', 'dir/host:1/r/b', 'C:/x', 'host:650/repo']) {
    expect(isSourceUrl(path)).toBe(false)
  }
  expect(isBarePfsUrl('host:650/repo/master')).toBe(true)
})

test('no secret is shown', () => {
  for (const [text, shown] of [
    ['https://ada:s3cret@host/x', 'https://…@host/x'],
    ['https://s3cret@host/x', 'https://…@host/x'],
    ['https://host/x?X-Amz-Signature=s3cret#s3cret', 'https://host/x?…'],
    ['https://ada:s3@cret@host/x', 'https://…@host/x'],
    ['wasb://box@acc.blob.core.windows.net/x', 'wasb://box@acc.blob.core.windows.net/x'],
    ['https://host/\n\u001b[2J', 'https://host/\\n\\u001b[2J'],
  ] as const) {
    expect(shownSource(text)).toBe(shown)
  }
  expect(shownSource(`https://host/${'x'.repeat(5000)}`).length).toBeLessThan(400)
  expect(hasPassword('https://ada:s3cret@host/')).toBe(true)
  expect(hasPassword('https://host/')).toBe(false)
})
