import { expect, test } from 'vitest'
import { SystemClock } from './clock.ts'

test('a sleep of four weeks is not over at once, and can be cancelled', async () => {
  const clock = new SystemClock()
  const stop = new AbortController()
  const sleep = clock.sleep(4 * 7 * 86_400_000, stop.signal)
  const first = await Promise.race([
    sleep.then(() => 'four weeks'),
    clock.sleep(50).then(() => 'a moment'),
  ])
  expect(first).toBe('a moment')
  stop.abort()
  await expect(sleep).rejects.toThrow('cancelled')
})
