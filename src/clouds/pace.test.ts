import { expect, test } from 'vitest'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { inParallel } from '../base/parallel.ts'
import { patientRetries } from '../base/retries.ts'
import { SystemRandom } from '../base/random.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { Pace } from './pace.ts'

const slow = new UnavailableError('503 SlowDown')

function paceOf(count: number): Pace {
  const clock = new HeldClock()
  clock.sleep = async (ms) => clock.advance(ms)
  const ports = { clock, random: new SystemRandom(), retries: patientRetries }
  return new Pace(ports, count, new AbortController().signal)
}

/** Fails so often, and succeeds then. */
function failing(count: number): () => Promise<string> {
  let left = count
  return async () => {
    left -= 1
    if (left >= 0) throw slow
    return 'done'
  }
}

test('a store that is unavailable is asked six times', async () => {
  expect(await paceOf(4).again(failing(5))).toBe('done')
  await expect(paceOf(4).again(failing(6))).rejects.toBe(slow)
  const refusal = new NotFoundError('no such bucket')
  await expect(paceOf(4).again(async () => Promise.reject(refusal))).rejects.toBe(refusal)
})

test('what fails together slows down once; what succeeds is more at once again', async () => {
  const pace = paceOf(8)
  await Promise.all(Array.from({ length: 8 }, async () => pace.again(failing(1))))
  expect(pace.count).toBeLessThan(8)
  expect(pace.count).toBeGreaterThanOrEqual(4)
  for (let index = 0; index < 40; index += 1) await pace.again(async () => undefined)
  expect(pace.count).toBe(8)
  await paceOf(1).again(failing(4))
})

test('no more run at once than the pace allows now', async () => {
  const pace = paceOf(8)
  let [running, most] = [0, 0]
  const work = async (index: number): Promise<void> => {
    running += 1
    if (index === 0) await pace.again(failing(3))
    if (index > 8) most = Math.max(most, running)
    await new Promise(setImmediate)
    running -= 1
  }
  await inParallel(
    Array.from({ length: 30 }, (_, index) => index),
    () => pace.count,
    work,
  )
  expect(most).toBeLessThan(8)
})
