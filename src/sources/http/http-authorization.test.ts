import { expect, test } from 'vitest'
import { FailedPreconditionError } from '../../base/errors.ts'
import { httpAuthorization } from './http-authorization.ts'

const secret = { HTTP_TOKEN: 't0psecret' }
const sent = { authorization: 'Bearer t0psecret' }
const of = (url: string, more = {}) => httpAuthorization({ ...secret, ...more }, new URL(url))

test.each([
  'https://example.com/x',
  'http://localhost:80/x',
  'http://127.0.0.1/x',
  'http://127.8.9.10/x',
  'http://2130706433/x',
  'http://[::1]:81/x',
])('a secret goes to %s, since nobody can read it on the way', (url) => {
  expect(of(url)).toEqual(sent)
})

test.each([
  'http://example.com/x?key=s3cret',
  'http://localhost.example.com/x',
  'http://127.0.0.1.example.com/x',
  'http://10.0.0.1/x',
  'http://[::ffff:127.0.0.1]/x',
])('it does not go to %s, but for one whose owner allows it', (url) => {
  let error: unknown
  try {
    of(url)
  } catch (caught) {
    error = caught
  }
  expect(error).toBeInstanceOf(FailedPreconditionError)
  expect(String(error)).toContain('in the clear')
  expect(String(error)).not.toMatch(/t0p|s3cret/)
  expect(() => of(url, { HTTP_IN_CLEAR: 'no' })).toThrow('in the clear')
  expect(of(url, { HTTP_IN_CLEAR: 'yes\n' })).toEqual(sent)
})
