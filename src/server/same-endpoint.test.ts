import { expect, test } from 'vitest'
import { isSameEndpoint } from './same-endpoint.ts'

test.each([
  [undefined, undefined],
  ['http://localhost:9000', 'http://127.0.0.1:9000'],
  ['http://localhost:9000', 'http://[::1]:9000/'],
  ['http://127.0.0.1:9000', 'http://127.0.0.2:9000'],
  ['https://10.1.2.3', 'https://10.1.2.3:443/'],
  ['http://10.1.2.3:80', 'http://10.1.2.3'],
  ['https://store.invalid', 'HTTPS://Store.INVALID./'],
  [undefined, 'https://s3.eu-west-1.amazonaws.com'],
  ['https://s3.amazonaws.com', 'https://s3-eu-west-1.amazonaws.com/'],
])('%s is %s', async (one, other) => {
  expect(await isSameEndpoint(one, other)).toBe(true)
  expect(await isSameEndpoint(other, one)).toBe(true)
})

test.each([
  [undefined, 'http://localhost:9000'],
  ['http://localhost:9000', 'http://localhost:9001'],
  ['http://10.1.2.3', 'https://10.1.2.3'],
  ['http://10.1.2.3', 'http://10.1.2.4'],
  ['https://one.invalid', 'https://two.invalid'],
])('%s is not %s', async (one, other) => {
  expect(await isSameEndpoint(one, other)).toBe(false)
  expect(await isSameEndpoint(other, one)).toBe(false)
})
