import { stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { DiskFullError } from '../base/errors.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import type { Database, Transaction } from './database.ts'
import { openSqlite } from './sqlite.ts'

const reserveBytes = 64 * 1024

/** A database on a disk with as much room as `disk` says. */
async function openOn(path: string, disk: { freeBytes: number }): Promise<Database> {
  return await openSqlite({
    path,
    clock: new SystemClock(),
    migrations: [{ layer: 'storage', steps: [['CREATE TABLE things (name TEXT NOT NULL)']] }],
    reserveBytes,
    freeBytes: async () => Promise.resolve(disk.freeBytes),
  })
}

async function sizeBytes(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

const insert = async (tx: Transaction): Promise<number> =>
  tx.run('INSERT INTO things (name) VALUES (?)', 'x')

/** What SQLite does with a statement when the file cannot grow, until there is a reserve no more. */
function growing(path: string): (tx: Transaction) => Promise<number> {
  let isFull = true
  return async (tx) => {
    if (isFull) {
      isFull = false
      throw new DiskFullError(path)
    }
    return insert(tx)
  }
}

test('what makes room may use the reserve, and nothing else until there is room', async () => {
  await using directory = await TemporaryDirectory.create()
  const reserve = directory.join('metadata.db-reserve')
  const disk = { freeBytes: 2 * reserveBytes }
  await using database = await openOn(directory.path, disk)
  expect(await sizeBytes(reserve)).toBe(reserveBytes)

  disk.freeBytes = reserveBytes
  await expect(database.transact(growing(directory.path))).rejects.toThrow(DiskFullError)
  expect(await sizeBytes(reserve)).toBe(reserveBytes)
  await database.transact(insert)
  disk.freeBytes = 0
  await database.transact(growing(directory.path), { usesReserve: true })
  expect(await sizeBytes(reserve)).toBe(0)
  await expect(database.transact(insert)).rejects.toThrow('the disk of the data directory is full')
  await database.transact(insert, { usesReserve: true })
  await expect(database.transact(growing(directory.path), { usesReserve: true })).rejects.toThrow(
    DiskFullError,
  )

  disk.freeBytes = 2 * reserveBytes
  await Promise.all([database.transact(insert), database.transact(insert)])
  expect(await sizeBytes(reserve)).toBe(reserveBytes)
  expect(await database.read((tx) => tx.all('SELECT name FROM things'))).toHaveLength(5)
})

test('a disk that has no room for a reserve takes one when it has', async () => {
  await using directory = await TemporaryDirectory.create()
  const reserve = directory.join('metadata.db-reserve')
  const disk = { freeBytes: 2 * reserveBytes - 1 }
  {
    await using database = await openOn(directory.path, disk)
    await expect(database.transact(insert)).rejects.toThrow(DiskFullError)
    expect(await sizeBytes(reserve)).toBe(0)
    disk.freeBytes = 2 * reserveBytes
    await database.transact(insert)
  }
  expect(await sizeBytes(reserve)).toBe(reserveBytes)
  disk.freeBytes = 0
  await using again = await openOn(directory.path, disk)
  await again.transact(insert)
})

test('what is left of the reserve after it was used is there for the next that makes room', async () => {
  await using directory = await TemporaryDirectory.create()
  const reserve = directory.join('metadata.db-reserve')
  const disk = { freeBytes: 2 * reserveBytes }
  await using database = await openOn(directory.path, disk)
  // As the disk is once the reserve is released, and some of it is used.
  disk.freeBytes = reserveBytes - 10_000
  for (let time = 0; time < 3; time += 1) {
    await database.transact(growing(directory.path), { usesReserve: true })
    const left = await sizeBytes(reserve)
    expect(left).toBeGreaterThan(reserveBytes / 2)
    expect(left).toBeLessThan(disk.freeBytes)
    // Nothing else may use the rest.
    await expect(database.transact(insert)).rejects.toThrow(DiskFullError)
    expect(await sizeBytes(reserve)).toBe(left)
  }
  disk.freeBytes = 2 * reserveBytes
  await database.transact(insert, { usesReserve: true })
  expect(await sizeBytes(reserve)).toBe(reserveBytes)
  await database.transact(insert)
})
