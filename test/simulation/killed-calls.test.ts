import { expect, test } from 'vitest'
import { killedCalls } from '../harness/killed-calls.ts'

/** For longer runs by hand: `KILLED_SEED=1 KILLED_RUNS=50`. */
const firstSeed = Number(process.env['KILLED_SEED'] ?? 1)
const runCount = Number(process.env['KILLED_RUNS'] ?? 1)

for (let seed = firstSeed; seed < firstSeed + runCount; seed += 1) {
  test(`a real server that is killed in the midst of calls makes what it should: seed ${seed}`, async () => {
    const outputs = await killedCalls(seed, { lifeCount: 3, callCount: 10 })
    expect(outputs.map(({ pipeline }) => pipeline)).toEqual(['plain', 'warm', 'both', 'after'])
    for (const { pipeline, expected, found } of outputs) {
      expect(found, `output of ${pipeline}`).toEqual(expected)
    }
  }, 240_000)
}
