import { expect, test } from 'vitest'
import { HeldClock } from '../testing/held-clock.ts'
import { atom, openTestProcessing, type TestProcessing } from '../testing/test-processing.ts'
import type { DatumWorkers } from './datum-worker.ts'
import { noStats } from './process-stats.ts'

const hourMs = 3_600_000

/** Workers that count how many of them there are. */
class CountedWorkers implements DatumWorkers {
  openCount = 0
  madeCount = 0

  placeOf(): string {
    return 'test'
  }

  async look(): Promise<void> {}

  notices(): readonly string[] {
    return []
  }

  async open(): Promise<Awaited<ReturnType<DatumWorkers['open']>>> {
    this.openCount += 1
    this.madeCount += 1
    return {
      process: async (work) => {
        using _ = await work.place()
        return { kind: 'failure', reason: 'it is not run', stats: noStats }
      },
      [Symbol.asyncDispose]: async () => {
        this.openCount -= 1
      },
    }
  }
}

/** Runs one datum, which fails, and waits until its job has ended. */
async function runOnce(world: TestProcessing, files: Record<string, string>): Promise<void> {
  await expect(world.flush('in', await world.commit('in', files))).rejects.toThrow('it is not run')
}

async function openWorld(
  clock: HeldClock,
  workers: CountedWorkers,
  scaleDownThresholdMs?: number,
): Promise<TestProcessing> {
  const world = await openTestProcessing(undefined, { clock, workers })
  await world.versioning.repos.create({ name: 'in' })
  const parallelism = { constant: 1, coefficient: 0 }
  const spec = { datumTries: 1, parallelism, scaleDownThresholdMs }
  await world.pipeline('p', atom('in', '/*'), spec)
  return world
}

test('idle workers are closed after half a minute', async () => {
  const [clock, workers] = [new HeldClock(), new CountedWorkers()]
  await using world = await openWorld(clock, workers)
  await runOnce(world, { a: '1' })
  clock.advance(29_000)
  await runOnce(world, { a: '2' })
  expect(workers).toMatchObject({ madeCount: 1, openCount: 1 })
  await expect
    .poll(() => {
      clock.advance(31_000)
      return workers.openCount
    })
    .toBe(0)
})

test('with scale_down_threshold, idle workers live as long as that says', async () => {
  const [clock, workers] = [new HeldClock(), new CountedWorkers()]
  await using world = await openWorld(clock, workers, hourMs)
  await runOnce(world, { a: '1' })
  clock.advance(hourMs - 1000)
  await runOnce(world, { a: '2' })
  expect(workers).toMatchObject({ madeCount: 1, openCount: 1 })
  await expect
    .poll(() => {
      clock.advance(hourMs)
      return workers.openCount
    })
    .toBe(0)
})

test('a pipeline that is stopped has no workers, whatever its scale_down_threshold', async () => {
  const [clock, workers] = [new HeldClock(), new CountedWorkers()]
  await using world = await openWorld(clock, workers, hourMs)
  await runOnce(world, { a: '1' })
  expect(workers.openCount).toBe(1)
  await world.processing.pipelines.stop('p')
  await expect.poll(() => workers.openCount).toBe(0)
})
