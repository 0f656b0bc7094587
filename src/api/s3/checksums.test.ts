import { expect, test } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { BodyChecks } from './body-checks.ts'
import { checksumNames, startDigest } from './checksums.ts'
import { S3Error } from './errors.ts'

/** Of `123456789`: the check values of the catalogue of CRC algorithms, and what sha1sum and sha256sum say. */
const known = {
  crc32: 'cbf43926',
  crc32c: 'e3069283',
  crc64nvme: 'ae8b14860a799888',
  sha1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
  sha256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
  md5: '25f9e794323b453885f5181f1b624d0b',
} as const

test('checksums are those that are known, in whatever pieces the bytes come', () => {
  for (const name of [...checksumNames, 'md5'] as const) {
    for (const pieces of [['123456789'], ['1', '2345', '', '6789']]) {
      const digest = startDigest(name)
      for (const piece of pieces) digest.update(utf8(piece))
      expect([name, digest.end().toString('hex')]).toEqual([name, known[name]])
    }
  }
})

/** The code of what a body of `123456789` is refused with. */
function outcome(headers: Record<string, string>, trailers: Record<string, string> = {}): unknown {
  try {
    const checks = new BodyChecks(headers, undefined)
    checks.update(utf8('123456789'))
    checks.end(new Map(Object.entries(trailers)))
    return checks.verified
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
}

test('what a header or a trailer says is required, whatever it says', () => {
  for (const name of checksumNames) {
    const right = Buffer.from(known[name], 'hex').toString('base64')
    const wrong = Buffer.from(known[name].replaceAll('9', '8'), 'hex').toString('base64')
    const header = `x-amz-checksum-${name}`
    const announced = { 'x-amz-trailer': header }
    expect(outcome({ [header]: right })).toEqual({ [header]: right })
    expect(outcome(announced, { [header]: right })).toEqual({ [header]: right })
    expect(outcome({ [header]: wrong })).toBe('BadDigest')
    expect(outcome(announced, { [header]: wrong })).toBe('BadDigest')
    expect(outcome(announced)).toBe('InvalidRequest')
    expect(outcome({ [header]: 'AAAA' })).toBe('InvalidDigest')
    expect(outcome({ [header]: `${right} ` })).toBe('InvalidDigest')
  }
  const md5 = Buffer.from(known.md5, 'hex').toString('base64')
  expect(outcome({ 'content-md5': md5 })).toEqual({})
  expect(outcome({ 'content-md5': md5.replace('J', 'K') })).toBe('BadDigest')
  expect(outcome({ 'content-md5': known.md5 })).toBe('InvalidDigest')
})
