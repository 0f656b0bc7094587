import { createDecipheriv } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { hexBytes, hexText, utf8 } from '../../base/bytes.ts'
import { DataLossError } from '../../base/errors.ts'
import { openEntries, sealEntries } from './sealing.ts'

const key = { id: '', bytes: new Uint8Array(32).fill(1) }
const nonce = new Uint8Array(12).fill(2)
const place = { name: 's', revision: 'r', entryNames: ['a', 'b'] }
const entries = new Map([
  ['a', utf8('hi')],
  ['b', new Uint8Array()],
])
const page = readFileSync(new URL('../../../docs/formats/secrets.md', import.meta.url), 'utf8')
const vector = /are\n\n```\n([0-9a-f]+)\n```/.exec(page)?.[1] ?? ''

test('what docs/formats/secrets.md says is what is sealed, and opens', () => {
  expect(hexText(sealEntries(entries, { key, nonce, place }))).toBe(vector)
  expect(new Map(openEntries(hexBytes(vector), { key, place }))).toEqual(
    new Map([...entries].map(([name, value]) => [name, Buffer.from(value)])),
  )
})

test('the text is as the page says, to somebody else who opens it', () => {
  const bytes = Buffer.from(vector, 'hex')
  const decipher = createDecipheriv('aes-256-gcm', key.bytes, bytes.subarray(0, 12))
  decipher.setAAD(Buffer.from('["pachyderm-ts secret 1","s","r",["a","b"]]'))
  decipher.setAuthTag(bytes.subarray(-16))
  const text = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
  expect(text.toString('latin1')).toBe('\0\0\0\u0002hi\0\0\0\0')
})

test('any values come back, and nothing that was changed or moved opens', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 4 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (values, at, flip) => {
        const names = values.map((_, index) => `e${index}`)
        const where = { name: 's', revision: 'r', entryNames: names }
        const plain = new Map(values.map((value, index) => [`e${index}`, value]))
        const sealed = sealEntries(plain, { key, nonce, place: where })
        const opened = openEntries(sealed, { key, place: where })
        expect([...opened].map(([name, value]) => [name, hexText(value)])).toEqual(
          [...plain].map(([name, value]) => [name, hexText(value)]),
        )
        const changed = Uint8Array.from(sealed)
        changed[at % sealed.length] = (changed[at % sealed.length] ?? 0) ^ flip
        for (const [bytes, elsewhere, by] of [
          [changed, where, key],
          [sealed.subarray(0, at % sealed.length), where, key],
          [sealed, { ...where, name: 't' }, key],
          [sealed, { ...where, revision: 'q' }, key],
          [sealed, { ...where, entryNames: [...names, 'more'] }, key],
          [sealed, where, { id: '', bytes: new Uint8Array(32).fill(9) }],
        ] as const) {
          expect(() => openEntries(bytes, { key: by, place: elsewhere })).toThrow(DataLossError)
        }
      },
    ),
  )
})
