import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseFilePath } from '../base/paths.ts'
import { decodeDatum, encodeDatum } from './datums/datum-sets.ts'
import { datumKey, type DatumMember } from './datums.ts'

const lineage = { lineageId: 'id', salt: 'salt' }
const member: DatumMember = {
  input: 'in',
  path: parseFilePath('/a/b'),
  hash: new Uint8Array(32).fill(7),
}

test('the datum key is the documented hash (docs/formats/datums.md)', () => {
  // Written out by hand from the page, field by field.
  const fields = ['pachyderm-ts datum 1', 'id', 'salt', 'in', '/a/b', '\u0007'.repeat(32)]
  const hash = createHash('sha256')
  for (const field of fields) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(field.length)
    hash.update(length).update(field, 'latin1')
  }
  expect(datumKey(lineage, [member])).toBe(hash.digest('hex'))
})

test('the datum key changes with every field that is in it', () => {
  const keys = [
    datumKey(lineage, [member]),
    datumKey({ ...lineage, lineageId: 'other' }, [member]),
    datumKey({ ...lineage, salt: 'other' }, [member]),
    datumKey(lineage, [{ ...member, input: 'other' }]),
    datumKey(lineage, [{ ...member, path: parseFilePath('/a') }]),
    datumKey(lineage, [{ ...member, hash: new Uint8Array(32) }]),
    datumKey(lineage, [member, member]),
    datumKey(lineage, []),
  ]
  expect(new Set(keys).size).toBe(keys.length)
})

test('a datum set holds datums as they were put in, and says when one is cut short', () => {
  const datum = {
    key: datumKey(lineage, [member]),
    members: [member, { ...member, path: parseFilePath('') }],
  }
  const encoded = encodeDatum(datum)
  expect(decodeDatum(encoded)).toEqual(datum)
  for (const size of [0, 31, 33, encoded.length - 1]) {
    expect(() => decodeDatum(encoded.subarray(0, size))).toThrow('cut short')
  }
})
