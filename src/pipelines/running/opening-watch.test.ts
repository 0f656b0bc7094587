import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'

import { HeldClock } from '../../testing/held-clock.ts'
import type { JobId } from '../../base/names.ts'
import type { WorkerActivity } from '../active-workers.ts'
import { noStats } from '../process-stats.ts'
import { OpeningWatch, openingNoteMs } from './opening-watch.ts'

test('who waits for a worker is told for what, and the log hears of it when it takes long', async () => {
  const clock = new HeldClock()
  const notes: string[] = []
  const activity: WorkerActivity = {
    id: 'p-0',
    job: 'j' as JobId,
    members: [],
    startedAt: clock.now(),
    stats: noStats,
    queueSize: 1,
    attempt: 1,
    lastReason: '',
    restart: () => {},
  }
  const log = { note: (text: string) => void notes.push(text) }
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await setImmediate()
  }
  {
    using opening = new OpeningWatch(clock, { activity, log })
    expect(activity.opening).toBeUndefined()
    opening.set('looking for image a')
    await pass(openingNoteMs - 1)
    opening.set('pulling image a')
    expect(activity.opening).toMatchObject({ what: 'pulling image a' })
    await pass(openingNoteMs - 1)
    expect(notes).toEqual([])
    await pass(1)
    expect(notes).toEqual(['(pulling image a, for 10s by now)'])
    opening.set('starting a container')
  }
  expect(activity.opening).toBeUndefined()
  await pass(openingNoteMs)
  expect(notes).toHaveLength(1)
})
