import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  Code,
  decodeStatusMessage,
  encodeStatusMessage,
  formatTimeout,
  parseCode,
  parseTimeoutMs,
} from './grpc-wire.ts'

test('a status message survives its header, which holds printable ASCII only', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const encoded = encodeStatusMessage(text)
      expect(encoded).toMatch(/^[\u0020-\u007e]*$/)
      expect(decodeStatusMessage(encoded)).toBe(text)
    }),
  )
})

test('a status message is percent-encoded byte by byte', () => {
  expect(encodeStatusMessage('50 % of größe\n')).toBe('50 %25 of gr%C3%B6%C3%9Fe%0A')
  expect(decodeStatusMessage('100%')).toBe('100%')
})

test('a status message too long for a header is cut between characters', () => {
  const encoded = encodeStatusMessage('ü'.repeat(5000))
  expect(encoded.length).toBeLessThan(8200)
  expect(decodeStatusMessage(encoded)).toMatch(/^ü+\.\.\.$/)
})

test('timeouts are read in all units, and nothing else is', () => {
  expect(['1n', '5u', '7m', '2S', '3M', '1H'].map(parseTimeoutMs)).toEqual([
    1e-6, 0.005, 7, 2000, 180_000, 3_600_000,
  ])
  expect(['', '1', 'm', '-1m', '1.5S', '123456789m', '1s'].map(parseTimeoutMs)).toEqual(
    Array.from({ length: 7 }, () => undefined),
  )
})

test('a timeout is never written shorter than it is', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e10, noNaN: true }), (ms) => {
      expect(parseTimeoutMs(formatTimeout(ms))).toBeGreaterThanOrEqual(ms)
    }),
  )
})

test('a missing or strange status is unknown', () => {
  expect(['0', '16', '17', '-1', 'x', undefined].map(parseCode)).toEqual([
    Code.ok,
    Code.unauthenticated,
    Code.unknown,
    Code.unknown,
    Code.unknown,
    Code.unknown,
  ])
})
