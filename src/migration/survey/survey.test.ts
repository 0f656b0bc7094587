import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import type { ByteStream } from '../../base/bytes.ts'
import type { OldObjects } from '../../legacy/old-objects.ts'
import { noMigrationCounts } from '../events.ts'
import { Survey } from './survey.ts'

/** A store far away: it answers after 20 ms, and brings a byte in each millisecond after. */
class FarObjects implements Pick<OldObjects, 'read' | 'sizeBytes'> {
  nowMs = 0
  readCount = 0
  readonly #objects = new Map<string, Uint8Array>()

  put(bytes: Uint8Array): string {
    const hash = createHash('sha512').update(bytes).digest('hex')
    this.#objects.set(hash, bytes)
    return hash
  }

  async *read(hash: string): ByteStream {
    const bytes = this.#objects.get(hash) ?? new Uint8Array(0)
    this.readCount += 1
    this.nowMs += 20 + bytes.length
    yield await Promise.resolve(bytes)
  }

  sizeBytes(hash: string): Promise<number> {
    this.nowMs += 5
    return Promise.resolve(this.#objects.get(hash)?.length ?? 0)
  }
}

test('what is estimated is the answers and the bytes of all objects, and what else it took here', async () => {
  const objects = new FarObjects()
  const clock = { monotonicMs: () => objects.nowMs }
  const survey = new Survey({ objects, clock })
  for (let at = 0; at < 1000; at += 1) {
    await survey.take(objects.put(Buffer.from(`${at} `.repeat(1 + (at % 7)))))
  }
  // The sample ends long before the objects do, and later ones are in it.
  expect(objects.readCount).toBeGreaterThan(30)
  expect(objects.readCount).toBeLessThan(200)
  objects.nowMs += 500 // trees
  const counts = { ...noMigrationCounts(), objects: 1000, objectBytes: 16_000 }
  const { leastMs, reason } = survey.estimate(counts, objects.nowMs)
  expect(leastMs).toBeCloseTo(500 + 1000 * 20 + 16_000, 0)
  expect(reason).toMatch(
    /^0\.5s for trees and records, as here, and 36s to read 1000 contents, by a sample of \d+: an answer after 20\.0ms and .* a second, 1 at once/,
  )
})

test('without contents, nothing is said of how fast they are', () => {
  const objects = new FarObjects()
  const survey = new Survey({ objects, clock: { monotonicMs: () => objects.nowMs } })
  const { leastMs, reason } = survey.estimate(noMigrationCounts(), 7)
  expect([leastMs, reason]).toEqual([
    7,
    'trees and records took that here, and there is nothing to read',
  ])
})
