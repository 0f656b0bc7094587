import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { VersioningPair } from '../testing/versioning-pair.ts'
import { versioningSteps } from '../testing/versioning-steps.ts'

let world: TestVersioning
let repoCount = 0

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

test('any sequence of calls leaves what a simple model of commits says', async () => {
  const property = fc.asyncProperty(
    fc.array(versioningSteps, { minLength: 10, maxLength: 60 }),
    async (sequence) => {
      repoCount += 1
      await using pair = new VersioningPair(world, `r${repoCount}`)
      await pair.create()
      for (const step of sequence) await pair.take(step)
      await pair.compareAll()
    },
  )
  await expect(fc.assert(property, { numRuns: 100 })).resolves.toBeUndefined()
})
