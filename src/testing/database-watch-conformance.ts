import { expect, test } from 'vitest'
import type { Database, DatabaseEvent } from '../database/database.ts'
import { counter, fillOne, migrations, type OpenOne, setCounter } from './database-fixture.ts'

/** What comes to watchers, and when. */
export function describeEvents(open: OpenOne): void {
  test('events come in the order of their commits, each once, and none of a failed operation', async () => {
    await using one = await open()
    using watch = follow(one.database, ['a'])
    const outcomes = Array.from({ length: 100 }, (_, index) =>
      one.database.transact(async (tx) => {
        const order = ((await counter(tx, 'order')) ?? 0) + 1
        await setCounter(tx, 'order', order)
        await tx.emit('a', `${order} first`)
        await tx.emit('a', `${order} second`)
        if (index % 3 === 0) throw new Error('on purpose')
      }),
    )
    await Promise.allSettled(outcomes)
    const events = await watch.take(66 * 2)
    expect(events.map(({ subject }) => subject)).toEqual(
      Array.from({ length: 66 }, (_, index) => [
        `${index + 1} first`,
        `${index + 1} second`,
      ]).flat(),
    )
    expectGrowing(events)
  })

  test('whoever sees an event sees what was written with it', async () => {
    await using one = await open()
    using watch = follow(one.database, ['a'])
    const writes = Array.from({ length: 50 }, (_, index) =>
      one.database.transact(async (tx) => {
        await tx.emit('a', `${index}`)
        await setCounter(tx, `${index}`, index)
      }),
    )
    for (let count = 0; count < 50; count += 1) {
      const [event] = await watch.take(1)
      const value = await one.database.read((tx) => counter(tx, event?.subject ?? ''))
      expect(value).toBe(Number(event?.subject))
    }
    await Promise.all(writes)
  })

  test('only events of the topics that were asked for come', async () => {
    await using one = await open()
    using some = follow(one.database, ['a', 'c', 'a'])
    using none = follow(one.database, [])
    for (const topic of ['a', 'b', 'c', 'a']) await emit(one.database, topic, topic)
    const events = await some.take(3)
    expect(events.map(({ topic }) => topic)).toEqual(['a', 'c', 'a'])
    none.stop()
    expect(await none.take(1)).toEqual([])
  })
}

/** How a watch begins, lasts and ends. */
export function describeWatching(open: OpenOne): void {
  test('the position of a watch is where the log ended when it was asked for', async () => {
    await using one = await open()
    await emit(one.database, 'a', 'before')
    using watch = follow(one.database, ['a'])
    await emit(one.database, 'a', 'after')
    expect(await watch.take(1)).toMatchObject([{ topic: 'a', subject: 'after' }])
  })

  test('a read after a watch began, and the watch, together miss nothing', async () => {
    await using one = await open()
    const writes = Array.from({ length: 200 }, (_, index) =>
      one.database.transact(async (tx) => {
        await fillOne(tx, index)
        await tx.emit('a', `${index}`)
      }),
    )
    for (let round = 0; round < 5; round += 1) {
      using watch = follow(one.database, ['a'])
      const rows = await one.database.read((tx) =>
        tx.all<{ id: number }>('SELECT id FROM integers'),
      )
      const seen = new Set(rows.map(({ id }) => id))
      while (seen.size < 200) {
        const [event] = await watch.take(1)
        seen.add(Number(event?.subject))
      }
      expect(Math.max(...seen)).toBe(199)
    }
    await Promise.all(writes)
  })
}

/** How a watch goes on. */
export function describeResuming(open: OpenOne): void {
  test('a watch goes on from any event that was seen, also after reopening', async () => {
    await using one = await open()
    let events: readonly DatabaseEvent[]
    {
      using watch = follow(one.database, ['a'])
      for (let index = 0; index < 10; index += 1) await emit(one.database, 'a', `${index}`)
      events = await watch.take(10)
    }
    for (const [index, { sequence }] of events.slice(0, 9).entries()) {
      using watch = follow(one.database, ['a'], sequence)
      expect(await watch.take(9 - index)).toEqual(events.slice(index + 1))
    }
    await one.database[Symbol.asyncDispose]()
    await using again = await one.store.open(migrations)
    using watch = follow(again, ['a'], events[4]?.sequence)
    using fresh = follow(again, ['a'])
    await emit(again, 'a', 'new')
    expect((await watch.take(6)).map(({ subject }) => subject)).toEqual([
      '5',
      '6',
      '7',
      '8',
      '9',
      'new',
    ])
    expect(await fresh.take(1)).toMatchObject([{ subject: 'new' }])
    expectGrowing([...events, ...(await followed(again, ['a'], events[9]?.sequence, 1))])
  })

  test('a slow watcher gets every one of many events', async () => {
    await using one = await open()
    using watch = follow(one.database, ['a'])
    await Promise.all(Array.from({ length: 2000 }, () => emit(one.database, 'a', 's')))
    const events = await watch.take(2000)
    expect(new Set(events.map(({ sequence }) => sequence)).size).toBe(2000)
    expectGrowing(events)
  })

  test('a watch ends when it is aborted, before, between and while waiting', async () => {
    await using one = await open()
    await emit(one.database, 'a', 'first')
    expect(await drain(one.database.watch(['a'], { after: 0, signal: AbortSignal.abort() }))).toBe(
      0,
    )
    const stopped = new AbortController()
    const waiting = drain(one.database.watch(['a'], { signal: stopped.signal }))
    await one.database.read((tx) => tx.get('SELECT 1 AS one'))
    stopped.abort()
    expect(await waiting).toBe(0)
    const between = new AbortController()
    let seen = 0
    for await (const _ of one.database.watch(['a'], { after: 0, signal: between.signal })) {
      seen += 1
      between.abort()
    }
    expect(seen).toBe(1)
  })
}

async function emit(database: Database, topic: string, subject: string): Promise<void> {
  await database.transact((tx) => tx.emit(topic, subject))
}

function expectGrowing(events: readonly DatabaseEvent[]): void {
  const sequences = events.map(({ sequence }) => sequence)
  expect(sequences).toEqual([...new Set(sequences)].toSorted((left, right) => left - right))
}

interface Followed extends Disposable {
  /** The next `count` events, or fewer when the watch has ended. */
  take(count: number): Promise<readonly DatabaseEvent[]>
  stop(): void
}

function follow(database: Database, topics: readonly string[], after?: number): Followed {
  const stopped = new AbortController()
  const { signal } = stopped
  const watch = database.watch(topics, after === undefined ? { signal } : { signal, after })
  const events = watch[Symbol.asyncIterator]()
  const stop = (): void => {
    stopped.abort()
  }
  return {
    async take(count) {
      const taken: DatabaseEvent[] = []
      while (taken.length < count) {
        const next = await events.next()
        if (next.done === true) break
        taken.push(next.value)
      }
      return taken
    },
    stop,
    [Symbol.dispose]: stop,
  }
}

async function followed(
  database: Database,
  topics: readonly string[],
  after: number | undefined,
  count: number,
): Promise<readonly DatabaseEvent[]> {
  using watch = follow(database, topics, after)
  return await watch.take(count)
}

/** How many events came before the watch ended. */
export async function drain(events: AsyncIterable<DatabaseEvent>): Promise<number> {
  let count = 0
  for await (const _ of events) count += 1
  return count
}
