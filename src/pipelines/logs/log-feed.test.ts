import { expect, test } from 'vitest'
import type { JobId, PipelineName } from '../../base/names.ts'
import type { DatumKey } from '../datums.ts'
import { LogFeed, type LoggedRun } from './log-feed.ts'

const run: LoggedRun = {
  job: 'j' as JobId,
  pipeline: 'p' as PipelineName,
  pipelineVersion: 1,
  datum: 'd' as DatumKey,
  members: [],
  worker: 'p-0',
}

function lineOf(text: string) {
  return { run, line: { at: 1, stream: 'stdout' as const, text } }
}

test('a follower that reads slowly misses the oldest lines, and hears how many', async () => {
  const all = { bytes: 0 }
  using feed = new LogFeed(
    () => true,
    all,
    () => undefined,
  )
  const text = 'x'.repeat(1000)
  for (let at = 0; at < 10_000; at += 1) feed.push(lineOf(`${at} ${text}`))
  expect(all.bytes).toBeLessThanOrEqual(4 * 1024 * 1024)
  feed.close()
  const [gap, ...kept] = await Array.fromAsync(feed.lines())
  const dropped = Number(/^\((\d+) lines were left out/.exec(gap?.line.text ?? '')?.[1])
  expect(gap?.isGap).toBe(true)
  expect(dropped + kept.length).toBe(10_000)
  expect(kept[0]?.line.text).toBe(`${dropped} ${text}`)
  expect(kept.at(-1)?.line.text).toBe(`9999 ${text}`)
  expect(all.bytes).toBe(0)
})

test('all followers together keep a bounded part, which comes back when they go', () => {
  const all = { bytes: 0 }
  const feeds = Array.from(
    { length: 40 },
    () =>
      new LogFeed(
        () => true,
        all,
        () => undefined,
      ),
  )
  for (const feed of feeds) {
    for (let at = 0; at < 100; at += 1) feed.push(lineOf('x'.repeat(30_000)))
  }
  expect(all.bytes).toBeLessThan(70 * 1024 * 1024)
  for (const feed of feeds) feed[Symbol.dispose]()
  expect(all.bytes).toBe(0)
})
