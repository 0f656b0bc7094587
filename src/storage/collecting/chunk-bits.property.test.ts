import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ChunkBits } from './chunk-bits.ts'

test('bits of packs are a set of places', () => {
  const places = fc.array(fc.record({ name: fc.constantFrom('a', 'b'), number: fc.nat(40) }))
  fc.assert(
    fc.property(places, (added) => {
      const bits = new ChunkBits()
      const model = new Set<string>()
      for (const { name, number } of added) {
        const key = `${name}${number}`
        expect(bits.add({ name, chunkCount: 41 }, number)).toBe(!model.has(key))
        model.add(key)
      }
      for (const name of ['a', 'b']) {
        const pack = { name, chunkCount: 41 }
        const numbers = Array.from({ length: 41 }, (_, number) => number)
        const held = numbers.filter((number) => bits.has(pack, number))
        expect(held).toEqual(numbers.filter((number) => model.has(`${name}${number}`)))
        expect(bits.countOf(pack)).toBe(held.length)
      }
    }),
  )
})
