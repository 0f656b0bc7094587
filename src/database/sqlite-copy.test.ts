import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { copySqlite, SqliteCopy } from './sqlite-copy.ts'
import { openSqlite } from './sqlite.ts'

const tables = [
  {
    layer: 'test',
    steps: [
      [
        'CREATE TABLE filler (number INTEGER NOT NULL PRIMARY KEY, bytes BYTES NOT NULL)',
        'CREATE TABLE sums (one INTEGER NOT NULL PRIMARY KEY, count INTEGER NOT NULL)',
        'INSERT INTO sums (one, count) VALUES (1, 0)',
      ],
    ],
  },
]

const { signal } = new AbortController()

async function open(directory: string, checkpointBytes?: number) {
  return await openSqlite({
    path: directory,
    migrations: tables,
    clock: new SystemClock(),
    ...(checkpointBytes !== undefined && { checkpointBytes }),
  })
}

test('a copy under writes is of one instant, and has its own transaction no half', async () => {
  await using temporary = await TemporaryDirectory.create()
  const directory = temporary.path
  // So that the log is moved all the time.
  await using database = await open(directory, 256 * 1024)
  const over = new AbortController()
  let written = 0
  const writing = (async () => {
    for (let number = 0; !over.signal.aborted; number += 1) {
      await database.transact(async (tx) => {
        const bytes = new Uint8Array(20_000).fill(number)
        await tx.run('INSERT INTO filler (number, bytes) VALUES (?, ?)', number, bytes)
        await tx.run('UPDATE sums SET count = count + 1')
      })
      written = number + 1
    }
  })()
  for (let round = 0; round < 5; round += 1) {
    await expect.poll(() => written, { interval: 1 }).toBeGreaterThan(round * 40)
    const before = written
    const target = join(directory, 'copy.db')
    await copySqlite(join(directory, 'metadata.db'), target, signal)
    const after = written
    using copy = new SqliteCopy(target)
    const [row] = copy.all<{ readonly rows: number; readonly count: number }>(
      'SELECT (SELECT count(*) FROM filler) AS rows, count FROM sums',
    )
    expect(row?.rows).toBe(row?.count)
    expect(row?.count).toBeGreaterThanOrEqual(before)
    expect(row?.count).toBeLessThanOrEqual(after + 1)
  }
  over.abort()
  await writing
})

test('a copy that is cancelled leaves nothing', async () => {
  await using temporary = await TemporaryDirectory.create()
  await using _ = await open(temporary.path)
  const target = join(temporary.path, 'copy.db')
  const path = join(temporary.path, 'metadata.db')
  await expect(copySqlite(path, target, AbortSignal.abort())).rejects.toThrow(/was cancelled/)
  await expect(stat(target)).rejects.toThrow(/ENOENT/)
})
