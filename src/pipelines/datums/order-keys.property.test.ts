import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes } from '../../base/bytes.ts'
import { parseFilePath, pathKey, type FilePath } from '../../base/paths.ts'
import { atomOrderKey, crossOrderKey, unionOrderKey } from './order-keys.ts'

const name = fc.string({ unit: fc.constantFrom('a', 'b', '!', '\u0001', '\u0002', '\u0003', 'é') })
const path: fc.Arbitrary<FilePath> = fc
  .array(name, { maxLength: 4 })
  .map((names) => parseFilePath(names.join('/')))

test('atom keys sort as the tree does', () => {
  fc.assert(
    fc.property(path, path, (left, right) => {
      const order = Math.sign(compareBytes(atomOrderKey(left), atomOrderKey(right)))
      expect(order).toBe(Math.sign(compareBytes(pathKey(left), pathKey(right))))
    }),
  )
})

test('cross keys sort by the last member first, and differ when any member does', () => {
  fc.assert(
    fc.property(path, path, path, path, (a1, b1, a2, b2) => {
      const left = crossOrderKey([atomOrderKey(a1), atomOrderKey(b1)])
      const right = crossOrderKey([atomOrderKey(a2), atomOrderKey(b2)])
      const byLast = compareBytes(pathKey(b1), pathKey(b2))
      const expected = byLast === 0 ? compareBytes(pathKey(a1), pathKey(a2)) : byLast
      expect(Math.sign(compareBytes(left, right))).toBe(Math.sign(expected))
    }),
  )
})

test('union keys sort by branch first', () => {
  const first = unionOrderKey(0, atomOrderKey(parseFilePath('z')))
  const second = unionOrderKey(1, atomOrderKey(parseFilePath('a')))
  const hundredth = unionOrderKey(300, atomOrderKey(parseFilePath('a')))
  expect(compareBytes(first, second)).toBeLessThan(0)
  expect(compareBytes(second, hundredth)).toBeLessThan(0)
})
