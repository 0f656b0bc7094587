import { expect, test } from 'vitest'
import { cloudError } from './cloud-errors.ts'

test.each([
  ['ENOTFOUND', 'cannot read s3://b: there is no host of its name'],
  ['EAI_AGAIN', 'cannot read s3://b: its host cannot be looked up now (EAI_AGAIN)'],
  ['TimeoutError', 'cannot read s3://b: it did not answer in time'],
  ['ECONNREFUSED', 'cannot read s3://b: ECONNREFUSED'],
])('what keeps a store from answering is said in words (%s)', (code, text) => {
  const failure = { status: undefined, code }
  const { signal } = new AbortController()
  expect(cloudError('s3://b', failure, { credentials: '', signal, cause: undefined }).message).toBe(
    text,
  )
})
