import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CheckRun } from '../base/check-run.ts'
import { SystemClock } from '../base/clock.ts'
import type { Finding } from '../base/findings.ts'
import { StoreCheck } from '../storage/store-check.ts'
import { type OpenedPackedStore, openPackedStoreInMemory } from '../testing/packed-store.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { VersioningPair } from '../testing/versioning-pair.ts'
import { versioningSteps } from '../testing/versioning-steps.ts'
import {
  checkVersioningRows,
  checkVersioningSizes,
  visitVersioningRoots,
} from './versioning-check.ts'

let packed: OpenedPackedStore
let world: TestVersioning
let repoCount = 0

beforeAll(async () => {
  packed = await openPackedStoreInMemory()
  world = await openTestVersioning(packed.store)
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
  await packed[Symbol.asyncDispose]()
})

/** A full check, by somebody who has asked for repairs: none must be needed. */
async function findings(): Promise<readonly string[]> {
  const found: Finding[] = []
  const options = { full: true, fix: true, exclusive: true }
  const run = new CheckRun(options, new AbortController().signal, async (finding) => {
    found.push(finding)
  })
  const { database } = world
  const ports = { database, clock: new SystemClock(), run }
  const { store: chunks, objects, database: packs } = packed
  await checkVersioningRows(ports)
  await new StoreCheck({ objects, database: packs, chunks, run }).check((visitor) =>
    visitVersioningRoots(ports, visitor),
  )
  await checkVersioningSizes(ports)
  return found.map(({ kind, what }) => `${kind.name}: ${what}`)
}

test('whatever sequence of calls made a store, it is whole', async () => {
  const property = fc.asyncProperty(
    fc.array(versioningSteps, { minLength: 10, maxLength: 60 }),
    async (sequence) => {
      repoCount += 1
      const repo = `r${repoCount}`
      const pair = new VersioningPair(world, repo)
      await pair.create()
      for (const step of sequence) await pair.take(step)
      expect(await findings()).toEqual([])
      await world.versioning.repos.delete(repo, { force: true })
      expect(await findings()).toEqual([])
    },
  )
  await expect(fc.assert(property, { numRuns: 40 })).resolves.toBeUndefined()
})
