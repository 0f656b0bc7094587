import { stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { describeDatabase } from '../testing/database-conformance.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { type Migrations, WatchExpiredError } from './database.ts'
import { openSqlite } from './sqlite.ts'

describeDatabase('SQLite', async () => {
  const directory = await TemporaryDirectory.create()
  return {
    open: (migrations) =>
      openSqlite({ path: directory.path, migrations, clock: new SystemClock() }),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
})

const numbers: Migrations = {
  layer: 'test',
  steps: [['CREATE TABLE numbers (value INTEGER PRIMARY KEY, padding BYTES NOT NULL)']],
}

test('an operation that awaits anything but its transaction fails, and holds up nobody', async () => {
  await using directory = await TemporaryDirectory.create()
  await using database = await openSqlite({
    path: directory.path,
    migrations: [numbers],
    clock: new SystemClock(),
  })
  const insert = (value: number): Promise<number> =>
    database.transact((tx) =>
      tx.run('INSERT INTO numbers (value, padding) VALUES (?, ?)', value, new Uint8Array(1)),
    )
  const never = new Promise<void>(() => {})
  const waiting = database.transact(async (tx) => {
    await tx.run('INSERT INTO numbers (value, padding) VALUES (1, ?)', new Uint8Array(1))
    await never
  })
  const after = insert(2)
  await expect(waiting).rejects.toThrow('awaits nothing but its transaction')
  await after
  await expect(database.transact(() => insert(3))).rejects.toThrow(
    'awaits nothing but its transaction',
  )
  await expect(database.read(() => never)).rejects.toThrow('awaits nothing but its transaction')
  const rows = await database.read((tx) => tx.all('SELECT value FROM numbers ORDER BY value'))
  expect(rows).toEqual([{ value: 2 }, { value: 3 }])
})

test('the log stays short while writes and reads never pause', async () => {
  await using directory = await TemporaryDirectory.create()
  const checkpointBytes = 256 * 1024
  let logBytesMax = 0
  {
    await using database = await openSqlite({
      path: directory.path,
      migrations: [numbers],
      clock: new SystemClock(),
      checkpointBytes,
    })
    let next = 0
    const padding = new Uint8Array(2000)
    const write = async (): Promise<void> => {
      while (next < 8000) {
        next += 1
        const value = next
        await database.transact((tx) =>
          tx.run('INSERT INTO numbers (value, padding) VALUES (?, ?)', value, padding),
        )
        await database.read((tx) => tx.get('SELECT max(value) FROM numbers'))
        if (value % 100 === 0) {
          const { size } = await stat(directory.join('metadata.db-wal'))
          logBytesMax = Math.max(logBytesMax, size)
        }
      }
    }
    await Promise.all(Array.from({ length: 16 }, write))
    const row = await database.read((tx) => tx.get('SELECT count(*) AS count FROM numbers'))
    expect(row).toEqual({ count: 8000 })
  }
  const { size } = await stat(directory.join('metadata.db'))
  expect(size).toBeGreaterThan(16_000_000)
  // What is written while the bulk moves comes on top of the threshold, which on a slow disk is much;
  // a log that is never moved has a page or two for each write.
  expect(logBytesMax).toBeLessThan(((8000 * 4096) / 3) * 2)
  await expect(stat(directory.join('metadata.db-wal'))).rejects.toThrow('ENOENT')
})

test('events beyond those that are kept are deleted, and who needs them is told', async () => {
  await using directory = await TemporaryDirectory.create()
  await using database = await openSqlite({
    path: directory.path,
    migrations: [numbers],
    clock: new SystemClock(),
    retainedEvents: 50,
  })
  const { signal } = new AbortController()
  const behind = database.watch(['a'], { signal })[Symbol.asyncIterator]()
  const stopped = new AbortController()
  const quiet = database.watch(['b'], { signal: stopped.signal })[Symbol.asyncIterator]()
  const quietNext = quiet.next()
  await Promise.all(
    Array.from({ length: 3000 }, (_, index) => database.transact((tx) => tx.emit('a', `${index}`))),
  )
  // Runs after the deletion that the last event may have caused.
  await database.transact((tx) => tx.emit('b', 'for the quiet one'))
  const row = await database.read((tx) =>
    tx.get<{ count: number }>('SELECT count(*) AS count FROM database_events'),
  )
  expect(row?.count).toBeGreaterThanOrEqual(50)
  expect(row?.count).toBeLessThan(1200)
  await expect(behind.next()).rejects.toThrow(WatchExpiredError)
  // It waited all the time, so nothing that it asked for has been lost.
  expect(await quietNext).toMatchObject({ value: { topic: 'b', subject: 'for the quiet one' } })
  stopped.abort()
  const beyond = database.watch(['a'], { signal, after: 1_000_000 })[Symbol.asyncIterator]()
  await expect(beyond.next()).rejects.toThrow(WatchExpiredError)
})

test('operations that only read never shut out the rest of the process', async () => {
  await using directory = await TemporaryDirectory.create()
  await using database = await openSqlite({
    path: directory.path,
    migrations: [numbers],
    clock: new SystemClock(),
  })
  for (const read of [database.read.bind(database), database.transact.bind(database)]) {
    const turned = new AbortController()
    setImmediate(() => {
      setImmediate(() => {
        turned.abort()
      })
    })
    while (!turned.signal.aborted) await read((tx) => tx.get('SELECT 1'))
    expect(turned.signal.aborted).toBe(true)
  }
})
