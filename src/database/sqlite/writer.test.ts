import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import { ResourceExhaustedError, UnavailableError } from '../../base/errors.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { Connection } from './connection.ts'
import { batchOperationsMax, type Notice, Writer } from './writer.ts'

/** Syncs that the test ends one by one. */
class HeldSyncs {
  readonly started: PromiseWithResolvers<void>[] = []
  /** What was in the file's table when each sync began. */
  readonly committed: number[] = []
  readonly #count: () => number

  constructor(count: () => number) {
    this.#count = count
  }

  async sync(): Promise<void> {
    const ended = Promise.withResolvers<void>()
    this.committed.push(this.#count())
    this.started.push(ended)
    await ended.promise
  }
}

async function openWriter() {
  await using opened = new AsyncDisposableStack()
  const directory = opened.use(await TemporaryDirectory.create())
  const connection = opened.use(
    new Connection(directory.join('test.db'), { cacheBytes: 1024 * 1024 }),
  )
  connection.execute(`PRAGMA journal_mode = WAL;
    CREATE TABLE numbers (value INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE blobs (value BLOB) STRICT;
    CREATE TABLE database_events (sequence INTEGER PRIMARY KEY, topic TEXT, subject TEXT)`)
  const reader = opened.use(new Connection(directory.join('test.db'), { cacheBytes: 1024 }))
  const count = (): number =>
    reader.get<{ count: number }>('SELECT count(*) AS count FROM numbers')?.count ?? 0
  const syncs = new HeldSyncs(count)
  const notices: Notice[] = []
  const refusals: Error[] = []
  const writer = new Writer({
    connection,
    clock: new SystemClock(),
    sync: () => syncs.sync(),
    published: (notice) => notices.push(notice),
    failed: (refusal) => refusals.push(refusal),
  })
  const settled: string[] = []
  const insert = (value: number): Promise<void> => {
    const inserting = writer.transact(async (tx) => {
      await tx.run('INSERT INTO numbers (value) VALUES (?)', value)
      await tx.emit('numbers', `${value}`)
    })
    inserting.then(
      () => settled.push(`${value}`),
      () => settled.push(`${value} failed`),
    )
    return inserting
  }
  const parts = opened.move()
  return {
    connection,
    count,
    insert,
    notices,
    refusals,
    settled,
    syncs,
    writer,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}

/** Until everything that can happen without another sync has happened. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}

test('callers hear back, and events go out, only after a sync that began after their commit', async () => {
  await using one = await openWriter()
  const first = one.insert(1)
  await turns()
  expect(one.syncs.committed).toEqual([1])
  const later = [one.insert(2), one.insert(3)]
  await turns()
  // Executed, not committed: at most one commit is visible without being durable.
  expect(one.count()).toBe(1)
  expect([one.settled, one.notices]).toEqual([[], []])
  one.syncs.started[0]?.resolve()
  await first
  await turns()
  expect(one.settled).toEqual(['1'])
  expect(one.notices.map(({ lastSequence }) => lastSequence)).toEqual([1])
  expect(one.syncs.committed).toEqual([1, 3])
  one.syncs.started[1]?.resolve()
  await Promise.all(later)
  expect(one.settled).toEqual(['1', '2', '3'])
  expect(one.notices.map(({ lastSequence }) => lastSequence)).toEqual([1, 3])
})

test('an operation that fails, or only reads, hears back no sooner than what it saw is durable', async () => {
  await using one = await openWriter()
  const first = one.insert(1)
  const same = one.insert(1)
  same.catch(() => undefined)
  await turns()
  const reading = one.writer.transact((tx) => tx.get('SELECT max(value) AS max FROM numbers'))
  void reading.then(() => one.settled.push('read'))
  const durable = one.writer.durable().then(() => one.settled.push('durable'))
  await turns()
  expect(one.settled).toEqual([])
  one.syncs.started[0]?.resolve()
  await Promise.all([first, reading, durable])
  await expect(same).rejects.toThrow('UNIQUE')
  expect(one.settled.toSorted()).toEqual(['1', '1 failed', 'durable', 'read'])
  expect(one.syncs.started).toHaveLength(1)
})

test('what arrives during a sync shares the next one, up to the bound of a batch', async () => {
  await using one = await openWriter()
  const all = [one.insert(0)]
  await turns()
  for (let value = 1; value <= batchOperationsMax + 10; value += 1) all.push(one.insert(value))
  for (let index = 0; index < 3; index += 1) {
    await turns()
    one.syncs.started[index]?.resolve()
  }
  await Promise.all(all)
  expect(one.syncs.committed).toEqual([1, 1 + batchOperationsMax, 11 + batchOperationsMax])
})

test('after a sync that failed nothing works any more, and nobody hears of success', async () => {
  await using one = await openWriter()
  const first = one.insert(1)
  await turns()
  const second = one.insert(2)
  await turns()
  one.syncs.started[0]?.reject(new Error('EIO'))
  await Promise.all([
    expect(first).rejects.toThrow(UnavailableError),
    expect(second).rejects.toThrow('could not be synced'),
  ])
  await expect(one.insert(3)).rejects.toThrow('could not be synced')
  await expect(one.writer.durable()).rejects.toThrow('could not be synced')
  expect(one.count()).toBe(1)
  expect(one.notices).toEqual([])
  expect(one.refusals).toHaveLength(1)
})

test('a full disk fails the operations of the batch and no later one', async () => {
  await using one = await openWriter()
  one.connection.execute('PRAGMA max_page_count = 20')
  const small = one.insert(1)
  const large = one.writer.transact((tx) =>
    tx.run('INSERT INTO blobs (value) VALUES (?)', new Uint8Array(200_000)),
  )
  // SQLite ends the whole transaction, so the small one is gone too and must not succeed.
  await Promise.all([
    expect(small).rejects.toThrow(ResourceExhaustedError),
    expect(large).rejects.toThrow('is full (at /'),
  ])
  const later = one.insert(2)
  await turns()
  one.syncs.started[0]?.resolve()
  await later
  expect(one.count()).toBe(1)
})

test('a pause runs between transactions, and what was queued goes on after it', async () => {
  await using one = await openWriter()
  const ended = Promise.withResolvers<void>()
  const first = one.insert(1)
  let inTransaction: boolean | undefined
  const pause = one.writer.pauseFor(async () => {
    inTransaction = one.connection.inTransaction
    await ended.promise
  })
  await turns()
  const second = one.insert(2)
  await turns()
  expect(inTransaction).toBe(false)
  ended.resolve()
  await pause
  for (let index = 0; index < 2; index += 1) {
    await turns()
    one.syncs.started[index]?.resolve()
  }
  await Promise.all([first, second])
  await expect(one.writer.pauseFor(() => Promise.reject(new Error('on purpose')))).rejects.toThrow(
    'on purpose',
  )
})
