import { expect, test } from 'vitest'
import { InvalidArgumentError, UnavailableError } from '../base/errors.ts'
import { type StoreWait, waitText } from '../base/store-waits.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { ToldWaits } from './told-waits.ts'

const bucket = { name: 's3://bucket', endpoint: 'http://here:9000' }
const refused = new UnavailableError('cannot read s3://bucket at http://here:9000: nothing listens')

function openWaits() {
  const clock = new HeldClock()
  const told: StoreWait[] = []
  const over: string[] = []
  const ports = {
    clock,
    tell: (wait: StoreWait) => void told.push(wait),
    tellOver: ({ endpoint }: { readonly endpoint: string }) => void over.push(endpoint),
  }
  return { clock, told, over, waits: new ToldWaits(ports, bucket) }
}

async function pass(clock: HeldClock, ms: number): Promise<void> {
  await expect.poll(() => clock.sleeperCount).toBe(1)
  clock.advance(ms)
}

test('a store that does not answer is told of within seconds, and then now and then', async () => {
  const { clock, told, over, waits } = openWaits()
  const answer = Promise.withResolvers<string>()
  const asked = waits.answered(() => answer.promise)
  await pass(clock, 2999)
  expect(told).toEqual([])
  await pass(clock, 1)
  await expect.poll(() => told.length).toBe(1)
  expect(told.map(waitText)).toEqual([
    'waiting for s3://bucket at http://here:9000 for 3 s, and trying on: it has not answered yet',
  ])
  for (let seconds = 3; seconds < 30; seconds += 3) await pass(clock, 3000)
  expect(told).toHaveLength(1)
  await pass(clock, 3000)
  await expect.poll(() => told.length).toBe(2)
  answer.resolve('here')
  expect(over).toEqual([])
  expect(await asked).toBe('here')
  expect(over).toEqual([bucket.endpoint])
  expect(clock.sleeperCount).toBe(0)
})

test('what fails again and again is told with its cause, and not what passes', async () => {
  const { clock, told, waits } = openWaits()
  const fail = (): Promise<string> => waits.sent(() => Promise.reject(refused))
  await expect(fail()).rejects.toBe(refused)
  clock.advance(2000)
  expect(await waits.sent(() => Promise.resolve('here'))).toBe('here')
  await expect(fail()).rejects.toBe(refused)
  clock.advance(2000)
  await expect(fail()).rejects.toBe(refused)
  expect(told).toEqual([])
  clock.advance(2000)
  await expect(fail()).rejects.toBe(refused)
  expect(told.map(waitText)).toEqual([
    'waiting for s3://bucket at http://here:9000 for 4 s, and trying on: cannot read s3://bucket at http://here:9000: nothing listens',
  ])
})

test('an answer that is a refusal is an answer', async () => {
  const { clock, told, waits } = openWaits()
  const refusal = new InvalidArgumentError('no')
  await expect(waits.sent(() => Promise.reject(refused))).rejects.toBe(refused)
  clock.advance(10_000)
  await expect(waits.sent(() => Promise.reject(refusal))).rejects.toBe(refusal)
  await expect(waits.sent(() => Promise.reject(refused))).rejects.toBe(refused)
  expect(told).toEqual([])
})
