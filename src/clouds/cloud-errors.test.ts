import { expect, test } from 'vitest'
import { cloudError } from './cloud-errors.ts'

const endpoint = 'https://storage.example.com:9000'

test.each([
  ['ENOTFOUND', 'there is no host of its name (ENOTFOUND): see that it is written right'],
  ['EAI_AGAIN', 'its host cannot be looked up now (EAI_AGAIN): see'],
  ['TimeoutError', 'it did not answer in time: see that it is up'],
  ['UND_ERR_CONNECT_TIMEOUT', 'it did not answer in time: see that it is up'],
  ['ECONNREFUSED', 'nothing listens there (ECONNREFUSED): see that it is up'],
  ['EHOSTUNREACH', 'there is no way to it: see that it is up'],
  ['ECONNRESET', 'the connection broke: see that it is up'],
  ['EPROTO', 'no connection by TLS can be made: see whether it is http:// at that port'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'no connection by TLS can be made: see whether'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate cannot be trusted'],
  ['', 'it gave no answer: see that it is up'],
])('what keeps a store from answering is said with where it was asked (%s)', (code, text) => {
  const failure = { endpoint, status: undefined, code }
  const { signal } = new AbortController()
  const { message } = cloudError('s3://b', failure, { credentials: '', signal, cause: undefined })
  expect(message).toContain(`cannot read s3://b at ${endpoint}: ${text}`)
})
