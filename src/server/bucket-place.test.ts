import { describe, expect, test } from 'vitest'
import { InvalidArgumentError } from '../base/errors.ts'
import { environmentFor } from '../clouds/open-buckets.ts'
import { parseBucketPlace } from './bucket-place.ts'

describe('a place for packs', () => {
  test.each([
    ['s3://bucket', 's3://bucket', ''],
    ['s3://bucket/', 's3://bucket', ''],
    ['S3://bucket/a/b/', 's3://bucket/a/b', 'a/b/'],
    ['gs://bucket/a', 'gs://bucket/a', 'a/'],
    ['gcs://bucket/a', 'gs://bucket/a', 'a/'],
    ['as://host/container/a', 'as://host/container/a', 'a/'],
    [
      'wasb://container@account.blob.core.windows.net/a',
      'as://account.blob.core.windows.net/container/a',
      'a/',
    ],
    [
      's3://bucket/a?region=eu-x-1&endpoint=https://s3.example.com:9000',
      's3://bucket/a?endpoint=https://s3.example.com:9000&region=eu-x-1',
      'a/',
    ],
  ])('%s is always written %s', (text, url, prefix) => {
    const place = parseBucketPlace(text)
    expect(place).toMatchObject({ url, prefix })
    expect(parseBucketPlace(place.url)).toEqual(place)
  })

  test.each([
    ['/var/packs', 'write s3://BUCKET/PREFIX'],
    ['http://example.com/bucket', 'write s3://BUCKET/PREFIX'],
    ['pfs://host/repo/master', 'write s3://BUCKET/PREFIX'],
    ['s3://', 'cannot be a bucket'],
    ['s3://bucket/../other', 'the prefix may have letters'],
    ['s3://bucket/a//b', 'the prefix may have letters'],
    ['s3://bucket/a b', 'the prefix may have letters'],
    ['s3://key:secret@bucket/a', "credentials belong into pachd's environment"],
    ['s3://bucket?secret=x', 'it has the setting "secret"'],
    ['s3://bucket?endpoint=ftp://x', 'its endpoint is no address'],
    ['s3://bucket?endpoint=http://key:secret@x', 'its endpoint is no address'],
    ['s3://bucket?region=a%0ab', 'its region is none'],
    ['gs://bucket?endpoint=http://x', 'only s3:// takes settings'],
  ])('%s is refused', (text, why) => {
    expect(() => parseBucketPlace(text)).toThrow(InvalidArgumentError)
    expect(() => parseBucketPlace(text)).toThrow(why)
    const message = (() => {
      try {
        parseBucketPlace(text)
        return ''
      } catch (error) {
        return String(error)
      }
    })()
    expect(message).not.toContain('key:secret')
  })

  test('what it says wins over the environment', () => {
    const clouds = {
      variables: { AWS_ENDPOINT_URL: 'http://a', AWS_REGION: 'b', AWS_ACCESS_KEY_ID: 'c' },
      secretsDirectory: '/',
    }
    const said = parseBucketPlace('s3://bucket?endpoint=http://x&region=y')
    expect(environmentFor(said, clouds).variables).toEqual({
      ...clouds.variables,
      AWS_ENDPOINT_URL_S3: 'http://x',
      AWS_REGION: 'y',
    })
    expect(environmentFor(parseBucketPlace('s3://bucket'), clouds)).toEqual(clouds)
  })
})
