import { setImmediate } from 'node:timers/promises'
import { beforeEach, expect, test } from 'vitest'

import { HeldClock } from '../../testing/held-clock.ts'
import { Interruption } from './interruption.ts'
import { WarmingWatch, warmingMsMax, warmingNoteMs } from './warming-watch.ts'

let clock: HeldClock
let interruption: Interruption
let notes: string[]

beforeEach(() => {
  clock = new HeldClock()
  interruption = new Interruption(new AbortController().signal)
  notes = []
})

function watch(datumTimeoutMs?: number): WarmingWatch {
  const spec = datumTimeoutMs === undefined ? {} : { datumTimeoutMs }
  const log = { note: (text: string) => void notes.push(text) }
  return new WarmingWatch(clock, { spec, interruption, log })
}

async function pass(ms: number): Promise<void> {
  clock.advance(ms)
  await setImmediate()
}

test('who waits long for a warm command is told, and in the end it is ended', async () => {
  using warming = watch()
  warming.set(true)
  await pass(warmingNoteMs - 1)
  expect(notes).toEqual([])
  await pass(1)
  expect(notes).toEqual([
    expect.stringMatching(/^waits for the warm command to say "ready", for 1m/),
  ])
  await pass(warmingMsMax - warmingNoteMs - 1)
  expect(interruption.signal.aborted).toBe(false)
  await pass(1)
  expect(interruption.signal.aborted).toBe(true)
  expect(interruption.reason).toMatch(/^the warm command had not said "ready" after 15m: it must/)
})

test('one that is ready may take as long as it likes', async () => {
  using warming = watch()
  warming.set(true)
  warming.set(false)
  await pass(2 * warmingMsMax)
  expect([notes, interruption.reason]).toEqual([[], undefined])
})

test('a datum_timeout holds instead, and its reason tells', async () => {
  using warming = watch(2 * warmingMsMax)
  const ready = 'it ran longer than the datum_timeout of 30m'
  expect(warming.timeoutText).toBe(ready)
  warming.set(true)
  await pass(warmingMsMax)
  expect([notes.length, interruption.reason]).toEqual([1, undefined])
  expect(warming.timeoutText).toContain(`${ready}, and the warm command had not said "ready" yet`)
  warming.set(false)
  expect(warming.timeoutText).toBe(ready)
})
