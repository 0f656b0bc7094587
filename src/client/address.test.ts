import { expect, test } from 'vitest'
import { addressText, parseAddress } from './address.ts'

test('addresses are read with and without port and scheme', () => {
  expect(parseAddress('localhost')).toEqual({ host: 'localhost', port: 30650 })
  expect(parseAddress(' 10.0.0.7:650 ')).toEqual({ host: '10.0.0.7', port: 650 })
  expect(parseAddress('grpc://pachd.example:1234/')).toEqual({ host: 'pachd.example', port: 1234 })
  expect(parseAddress('http://0.0.0.0:30650')).toEqual({ host: '0.0.0.0', port: 30650 })
  expect(parseAddress('[::1]:80')).toEqual({ host: '::1', port: 80 })
})

function refusal(text: string): string {
  try {
    return `read ${JSON.stringify(parseAddress(text))}`
  } catch (error) {
    return String(error)
  }
}

test('what is no address is refused with an example', () => {
  const malformed = ['', ':80', 'a:0', 'a:65536', 'a b', 'a:b', '::1', 'https://a', 'a/b']
  const noHosts = ['%s%n', '[1', '[:]:80', '<a>', '999.1.1.1']
  for (const text of [...malformed, ...noHosts]) {
    expect(refusal(text)).toContain(`not an address: ${JSON.stringify(text)}; write HOST:PORT`)
  }
})

test('an address is written so that it can be read', () => {
  for (const text of ['localhost:30650', '[::1]:650']) {
    expect(addressText(parseAddress(text))).toBe(text)
  }
})
