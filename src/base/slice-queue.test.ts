import { expect, test } from 'vitest'
import { SliceQueue } from './slice-queue.ts'

const slice = new Uint8Array(200 * 1024)

test('a queue that fills up asks for a pause, and for more when it has run dry', async () => {
  let wantedCount = 0
  const queue = new SliceQueue(() => {
    wantedCount += 1
  })
  expect([queue.push(slice), queue.push(slice), queue.push(slice)]).toEqual([true, true, false])
  await queue.next()
  await queue.next()
  expect(wantedCount).toBe(0)
  await queue.next()
  expect([wantedCount, queue.queuedBytes]).toEqual([1, 0])
  expect(queue.push(slice)).toBe(true)
})

test('a reader that waits gets the next slice, the end or the failure', async () => {
  const queue = new SliceQueue(() => {})
  const first = queue.next()
  queue.push(slice)
  expect(await first).toBe(slice)
  const second = queue.next()
  queue.end()
  expect(await second).toBeUndefined()
  expect(await queue.next()).toBeUndefined()

  const broken = new SliceQueue(() => {})
  const waiting = broken.next()
  broken.fail(new Error('lost'))
  await expect(waiting).rejects.toThrow('lost')
  expect(() => broken.next()).toThrow('lost')
})

test('a failure after the end changes nothing', () => {
  const queue = new SliceQueue(() => {})
  queue.push(slice)
  queue.end()
  queue.fail(new Error('too late'))
  expect(queue.next()).toBe(slice)
  expect(queue.next()).toBeUndefined()
})
