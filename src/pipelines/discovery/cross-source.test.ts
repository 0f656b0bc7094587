import { expect, test } from 'vitest'
import { compareBytes } from '../../base/bytes.ts'
import { parseFilePath } from '../../base/paths.ts'
import { atomOrderKey } from '../datums/order-keys.ts'
import type { Datum } from '../datums.ts'
import { CrossSource } from './cross-source.ts'
import type { DatumSource } from './datum-source.ts'

/** A factor of so many datums that are all new, and how many of them were read. */
class NewDatums implements DatumSource {
  readonly #count: number
  readCount = 0

  constructor(count: number) {
    this.#count = count
  }

  async *after(): AsyncGenerator<Datum> {
    for (let index = 0; index < this.#count; index += 1) {
      this.readCount += 1
      const path = parseFilePath(`/${100 + index}`)
      const member = { input: 'in', path, hash: new Uint8Array(32) }
      yield { orderKey: atomOrderKey(path), members: [member] }
    }
  }

  added(): AsyncIterable<Datum> {
    return this.after()
  }

  async *before(): AsyncGenerator<Datum> {}
  async *removed(): AsyncGenerator<Datum> {}
  async *unchanged(): AsyncGenerator<Datum> {}
  async *surviving(): AsyncGenerator<Datum> {}
}

test('a first listing comes in the order of its keys, so that it is written down as it comes', async () => {
  const cross = new CrossSource([new NewDatums(5), new NewDatums(4), new NewDatums(3)])
  const keys = (await Array.fromAsync(cross.added())).map(({ orderKey }) => orderKey)
  expect(keys).toHaveLength(60)
  expect(keys).toEqual(keys.toSorted(compareBytes))
})

test('where one factor has nothing, the others are not gone through', async () => {
  const factors = [new NewDatums(0), new NewDatums(100), new NewDatums(100)]
  expect(await Array.fromAsync(new CrossSource(factors).after())).toEqual([])
  expect(await Array.fromAsync(new CrossSource(factors).added())).toEqual([])
  expect(factors.reduce((sum, { readCount }) => sum + readCount, 0)).toBeLessThan(10)
})
