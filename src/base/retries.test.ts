import { expect, test } from 'vitest'
import { InvalidArgumentError, NotFoundError, UnavailableError } from './errors.ts'
import { SystemRandom } from './random.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { Attempts, type RetryPorts, retried, silentMsOfSent, usualRetries } from './retries.ts'

const retries = { attemptsMax: 3, pauseMs: 100, pauseMsMax: 1000, timeMsMax: 60_000 }
const { signal } = new AbortController()
const silent = new UnavailableError('it did not answer in time')

/** Who sleeps finds that the time has passed. */
function openPorts(): RetryPorts & { readonly clock: HeldClock } {
  const clock = new HeldClock()
  clock.sleep = async (ms) => clock.advance(ms)
  return { clock, random: new SystemRandom(), retries }
}

/** How many attempts are made, each of which takes so long and fails. */
async function attemptsOf(
  takesMs: number,
  error: Error,
  ports: ReturnType<typeof openPorts> = openPorts(),
): Promise<number> {
  let count = 0
  const work = async (): Promise<void> => {
    count += 1
    ports.clock.advance(takesMs)
    return Promise.reject(error)
  }
  await expect(retried(ports, signal, work)).rejects.toThrow(error.message)
  return count
}

test('what may pass is tried again, so often and for so long', async () => {
  expect(await attemptsOf(1, silent)).toBe(3)
  expect(await attemptsOf(1, new NotFoundError('no such host'))).toBe(3)
  expect(await attemptsOf(1, new InvalidArgumentError('no'))).toBe(1)
  expect(await attemptsOf(59_950, silent)).toBe(2)
  expect(await attemptsOf(60_000, silent)).toBe(1)
})

test('a machine that says nothing is asked a second time', async () => {
  const ports = { ...openPorts(), retries: usualRetries }
  expect(await attemptsOf(silentMsOfSent, silent, ports)).toBe(2)
})

test('what has begun to come has all attempts before it again', async () => {
  const ports = openPorts()
  const attempts = new Attempts(ports, signal)
  await attempts.failed(silent)
  await attempts.failed(silent)
  ports.clock.advance(60_000)
  attempts.succeeded()
  await attempts.failed(silent)
  await attempts.failed(silent)
  await expect(attempts.failed(silent)).rejects.toBe(silent)
})
