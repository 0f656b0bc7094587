import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { type PairStep, VersioningPair } from '../testing/versioning-pair.ts'
import { histories, mergedHistories, versioningSteps } from '../testing/versioning-steps.ts'

let world: TestVersioning
let repoCount = 0

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

async function take(sequence: readonly PairStep[]): Promise<void> {
  repoCount += 1
  await using pair = new VersioningPair(world, `r${repoCount}`)
  await pair.create()
  for (const step of sequence) await pair.take(step)
  await pair.compareAll()
}

test('any sequence of calls leaves what a simple model of commits says', async () => {
  const sequences = fc.array(versioningSteps, { minLength: 10, maxLength: 60 })
  const property = fc.asyncProperty(sequences, take)
  await expect(fc.assert(property, { numRuns: 100 })).resolves.toBeUndefined()
})

test('whatever is done to a history, it is what a simple model of commits says', async () => {
  const property = fc.asyncProperty(histories, take)
  await expect(fc.assert(property, { numRuns: 60 })).resolves.toBeUndefined()
})

test('whatever is merged and deleted, commits lead back to all that was merged into them', async () => {
  const property = fc.asyncProperty(mergedHistories, take)
  await expect(fc.assert(property, { numRuns: 60 })).resolves.toBeUndefined()
})
