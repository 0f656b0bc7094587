import { cp, mkdir, open, readdir, readFile, rm, stat, truncate } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import type { Database, Migrations } from './database.ts'
import { openSqlite } from './sqlite.ts'

const migrations: readonly Migrations[] = [
  { layer: 'test', steps: [['CREATE TABLE things (name TEXT NOT NULL, padding BYTES NOT NULL)']] },
]

async function openAt(
  path: string,
  copies: string[] = [],
  clock: HeldClock | SystemClock = new SystemClock(),
): Promise<Database> {
  const onDamagedLog = (copy: string): unknown => copies.push(copy)
  return await openSqlite({ path, migrations, clock, onDamagedLog })
}

async function add(database: Database, name: string): Promise<void> {
  await database.transact(async (tx) => {
    await tx.run('INSERT INTO things (name, padding) VALUES (?, ?)', name, new Uint8Array(3000))
    await tx.emit('things', name)
  })
}

async function namesIn(database: Database): Promise<readonly string[]> {
  const rows = await database.read((tx) =>
    tx.all<{ readonly name: string }>('SELECT name FROM things ORDER BY rowid'),
  )
  return rows.map(({ name }) => name)
}

/** As a killed process leaves it: the rows `a` to `e` are in the log alone. */
async function makeKilled(directory: TemporaryDirectory): Promise<void> {
  await mkdir(directory.join('live'))
  await using database = await openAt(directory.join('live'))
  for (const name of ['a', 'b', 'c', 'd', 'e']) await add(database, name)
  await cp(directory.join('live'), directory.join('killed'), { recursive: true })
}

/** Turns over a bit in the middle of the log. */
async function damageLog(path: string): Promise<void> {
  await using file = await open(`${path}/metadata.db-wal`, 'r+')
  const offset = Math.floor((await file.stat()).size / 2)
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset)
  await file.write(Uint8Array.of((buffer[0] ?? 0) ^ 1), 0, 1, offset)
}

async function filesIn(path: string): Promise<Readonly<Record<string, string>>> {
  const names = (await readdir(path)).filter((name) => /\.db$|-wal|-open/.test(name))
  const bytes = names.map(async (name) => [
    name,
    (await readFile(`${path}/${name}`)).toString('latin1'),
  ])
  return Object.fromEntries((await Promise.all(bytes)) as [string, string][])
}

test('a damaged log that is known to have held more is refused, and nothing changes', async () => {
  await using directory = await TemporaryDirectory.create()
  await makeKilled(directory)
  const path = directory.join('killed')
  await damageLog(path)
  // The mark is written behind the caller's back, once a second.
  await using mark = await open(`${path}/metadata.db-open`, 'w')
  await mark.write('events 0000000000000005\n')
  const before = await filesIn(path)
  for (let time = 0; time < 2; time += 1) {
    await expect(openAt(path)).rejects.toThrow(/damaged after the server had been killed/)
    expect(await filesIn(path)).toEqual(before)
  }
})

test('of a damaged log that is given up, or not known to have held more, a copy is kept', async () => {
  await using directory = await TemporaryDirectory.create()
  await makeKilled(directory)
  const path = directory.join('killed')
  await rm(`${path}/metadata.db-open`)
  await damageLog(path)
  const log = await readFile(`${path}/metadata.db-wal`)
  const copies: string[] = []
  {
    await using database = await openAt(path, copies)
    const names = await namesIn(database)
    expect(['a', 'b', 'c', 'd', 'e'].slice(0, names.length)).toEqual(names)
    expect(names.length).toBeLessThan(5)
  }
  expect(copies).toEqual([expect.stringMatching(/metadata\.db-wal\.damaged-\d{8}T\d{6}Z$/)])
  expect(await readFile(copies[0] ?? '')).toEqual(log)
  await (await openAt(path, copies))[Symbol.asyncDispose]()
  expect(copies).toHaveLength(1)
})

test('a log without a header that makes sense is kept, too', async () => {
  await using directory = await TemporaryDirectory.create()
  await makeKilled(directory)
  const path = directory.join('killed')
  await rm(`${path}/metadata.db-open`)
  {
    await using file = await open(`${path}/metadata.db-wal`, 'r+')
    await file.write(new Uint8Array(32), 0, 32, 0)
  }
  const copies: string[] = []
  await using database = await openAt(path, copies)
  expect(await namesIn(database)).toEqual([])
  expect(copies).toHaveLength(1)
})

test('a log as a killed process leaves it, or cut short, holds nothing to be kept', async () => {
  await using directory = await TemporaryDirectory.create()
  await makeKilled(directory)
  const { size } = await stat(directory.join('killed', 'metadata.db-wal'))
  for (const sizeBytes of [size, size - 1, size - 5000, 4000, 31, 0]) {
    const path = directory.join(`cut-${sizeBytes}`)
    await cp(directory.join('killed'), path, { recursive: true })
    await rm(`${path}/metadata.db-open`)
    await truncate(`${path}/metadata.db-wal`, sizeBytes)
    const copies: string[] = []
    await using database = await openAt(path, copies)
    const names = await namesIn(database)
    expect(['a', 'b', 'c', 'd', 'e'].slice(0, names.length)).toEqual(names)
    expect(names.length === 5).toBe(sizeBytes === size)
    expect(copies).toEqual([])
  }
})

test('what an earlier log has left behind in the file is no damage', async () => {
  await using directory = await TemporaryDirectory.create()
  const [live, path] = [directory.join('live'), directory.join('killed')]
  await mkdir(live)
  {
    await using database = await openSqlite({
      path: live,
      migrations,
      clock: new SystemClock(),
      checkpointBytes: 100_000,
    })
    let sizeBefore = 0
    for (let number = 0; ; number += 1) {
      await add(database, `n${number}`)
      const { size } = await stat(`${live}/metadata.db-wal`)
      const isReused = size === sizeBefore
      sizeBefore = size
      if (isReused && number > 60) break
    }
    await cp(live, path, { recursive: true })
  }
  const copies: string[] = []
  await using database = await openAt(path, copies)
  expect((await namesIn(database)).length).toBeGreaterThan(60)
  expect(copies).toEqual([])
})

test('the last event before a long silence is marked, too', async () => {
  await using directory = await TemporaryDirectory.create()
  const clock = new HeldClock()
  await using database = await openAt(directory.path, [], clock)
  const mark = async (): Promise<string> => readFile(directory.join('metadata.db-open'), 'latin1')
  await add(database, 'a')
  await expect.poll(mark).toBe('events 0000000000000001\n')
  await expect.poll(() => clock.sleeperCount).toBe(1)
  await add(database, 'b')
  await add(database, 'c')
  clock.advance(1000)
  await expect.poll(mark).toBe('events 0000000000000003\n')
})
