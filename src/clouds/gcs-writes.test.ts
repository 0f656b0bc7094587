import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { concatBytes } from '../base/bytes.ts'
import { assert, UnavailableError } from '../base/errors.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { type GcsUploads, writeGcsObject } from './gcs-writes.ts'

const stepBytes = 256 * 1024

/** A store that keeps of each part as many steps of 256 KiB as `keeps` says. */
class FrugalStore implements GcsUploads {
  readonly #keeps: (part: number) => number
  kept: Uint8Array = new Uint8Array(0)
  sentBytes = 0
  partCount = 0

  constructor(keeps: (part: number) => number) {
    this.#keeps = keeps
  }

  async begin(): Promise<string> {
    return Promise.resolve('address')
  }

  async send(_address: string, { range, bytes }: { range: string; bytes: Uint8Array }) {
    const [, first, last, total] = /^bytes (?:\*|(\d+)-(\d+))\/(\d+)$/.exec(range) ?? []
    const { length } = this.kept
    assert(Number(first ?? length) === length, 'a part begins where what is kept ends')
    if (last !== undefined)
      assert(Number(last) + 1 - length === bytes.length, 'a range is as long as its bytes')
    this.sentBytes += bytes.length
    const keptSteps = this.#keeps(this.partCount) * stepBytes
    this.partCount += 1
    this.kept = concatBytes([this.kept, bytes.subarray(0, keptSteps)])
    if (this.kept.length === Number(total)) {
      const md5Hash = createHash('md5').update(this.kept).digest('base64')
      return Promise.resolve({ kind: 'done', md5Hash } as const)
    }
    const has = this.kept.length === 0 ? undefined : `bytes=0-${this.kept.length - 1}`
    return Promise.resolve({ kind: 'more', range: has } as const)
  }
}

function objectOf(bytes: Uint8Array) {
  const read = async (offset: number, length: number) =>
    Promise.resolve(bytes.subarray(offset, offset + length))
  return { key: 'k', contentHash: 'h', sizeBytes: bytes.length, read }
}

test('an object is whole however much of each part the store keeps', async () => {
  const sizes = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 * 1024 * 1024 }))
  // Something at least now and then, as else it is given up.
  const kept = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(sizes, kept, async (size, steps) => {
      const bytes = seededBytes(size, size)
      const store = new FrugalStore((part) => steps[part % steps.length] ?? 0)
      const isStuck = steps.every((count) => count === 0) && size > 0
      const failure = await writeGcsObject(store, objectOf(bytes), 'gs://b/k').catch(
        (error: unknown) => error,
      )
      expect(failure instanceof UnavailableError).toBe(isStuck)
      expect(Buffer.compare(store.kept, bytes) === 0).toBe(!isStuck)
    }),
    { numRuns: 30 },
  )
})

test('nothing is sent twice that the store has', async () => {
  const bytes = seededBytes(1, 20 * 1024 * 1024)
  const store = new FrugalStore(() => 1000)
  await writeGcsObject(store, objectOf(bytes), 'gs://b/k')
  expect(store.sentBytes).toBe(bytes.length)
})

test.each(['bytes=0-99999999', 'bytes=5-9', 'items=0-9'])(
  'a store that says it has "%s" is not believed',
  async (range) => {
    const uploads: GcsUploads = {
      begin: async () => Promise.resolve(''),
      send: async () => Promise.resolve({ kind: 'more', range }),
    }
    await expect(
      writeGcsObject(uploads, objectOf(new Uint8Array(100)), 'gs://b/k'),
    ).rejects.toThrow('gs://b/k')
  },
)

test('one that keeps nothing is given up', async () => {
  const store = new FrugalStore(() => 0)
  await expect(writeGcsObject(store, objectOf(new Uint8Array(100)), 'gs://b/k')).rejects.toThrow(
    'keeps nothing',
  )
  expect(store.partCount).toBeLessThan(10)
})
