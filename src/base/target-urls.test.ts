import { expect, test } from 'vitest'
import { InvalidArgumentError } from './errors.ts'
import { parseTargetUrl } from './target-urls.ts'

test.each([
  ['s3://bucket', { kind: 's3', bucket: 'bucket', key: '' }],
  ['S3://bucket/a/b%20c/', { kind: 's3', bucket: 'bucket', key: 'a/b c/' }],
  ['gs://bucket/a', { kind: 'gcs', bucket: 'bucket', key: 'a' }],
  ['as://host/box/a', { kind: 'azure', bucket: 'box', key: 'a' }],
  [
    'wasb://box@account.blob.core.windows.net/a',
    { kind: 'azure', bucket: 'box', key: 'a', account: 'account' },
  ],
])('%j is a place to export to', (text, url) => {
  expect(parseTargetUrl(text)).toEqual(url)
})

test.each([
  '',
  'bucket/key',
  '/tmp/x',
  'https://ada:s3cret@example.com/x',
  'pfs://host/repo/master',
  'host:30650/repo/master',
  'hdfs://x/y',
  's3:bucket',
  's3://',
  's3:///key',
  's3://bucket/%zz',
])('%j is none, and says what is', (text) => {
  let refused: unknown
  try {
    parseTargetUrl(text)
  } catch (error) {
    refused = error
  }
  expect(refused).toBeInstanceOf(InvalidArgumentError)
  expect(String(refused)).toMatch(/s3:\/\/BUCKET|a % that is not followed/)
  expect(String(refused)).not.toContain('s3cret')
})
