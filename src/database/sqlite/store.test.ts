import { readdir, writeFile } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import { DataLossError, FailedPreconditionError, UnavailableError } from '../../base/errors.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import type { Database, Migrations } from '../database.ts'
import { openSqlite } from '../sqlite.ts'
import { sqliteDialect } from './dialect.ts'

const first: Migrations = {
  layer: 'storage',
  steps: [
    [
      'CREATE TABLE parents (id INTEGER PRIMARY KEY, bytes BYTES)',
      `CREATE TABLE children (parent INTEGER NOT NULL REFERENCES parents (id))`,
    ],
  ],
}
const second: Migrations = {
  layer: 'storage',
  steps: [...first.steps, ['ALTER TABLE parents ADD COLUMN name TEXT', 'DELETE FROM children']],
}
const other: Migrations = { layer: 'versioning', steps: [['CREATE TABLE repos (name TEXT)']] }

async function open(
  directory: TemporaryDirectory,
  migrations: readonly Migrations[],
  release = '1.0.0',
): Promise<Database> {
  return await openSqlite({
    path: directory.path,
    migrations,
    clock: new SystemClock(),
    release,
  })
}

// The rules of docs/formats/metadata.md for stores of other releases.
test('an older store is brought forward, after a copy named with its versions was made', async () => {
  await using directory = await TemporaryDirectory.create()
  {
    await using database = await open(directory, [first])
    await database.transact((tx) => tx.run('INSERT INTO parents (id) VALUES (1)'))
    await database.transact((tx) => tx.run('INSERT INTO children (parent) VALUES (1)'))
  }
  expect(await readdir(directory.path)).toEqual(['metadata.db'])
  {
    await using database = await open(directory, [second, other])
    const row = await database.read((tx) =>
      tx.get('SELECT name, (SELECT count(*) FROM children) AS children FROM parents'),
    )
    expect(row).toEqual({ name: null, children: 0 })
    const orphan = database.transact((tx) => tx.run('INSERT INTO children (parent) VALUES (7)'))
    await expect(orphan).rejects.toThrow('FOREIGN KEY')
  }
  const backup = 'metadata.db.backup-database1-storage1'
  expect(await readdir(directory.path)).toEqual(['metadata.db', backup])
  await using restored = await openSqlite({
    path: directory.join(backup),
    migrations: [first],
    clock: new SystemClock(),
  })
  const row = await restored.read((tx) => tx.get('SELECT parent FROM children'))
  expect(row).toEqual({ parent: 1 })
})

test('an opened store that is up to date is neither copied nor changed', async () => {
  await using directory = await TemporaryDirectory.create()
  for (let round = 0; round < 2; round += 1) {
    await using database = await open(directory, [second, other])
    await database.transact((tx) => tx.run('INSERT INTO repos (name) VALUES (?)', `${round}`))
  }
  expect(await readdir(directory.path)).toEqual(['metadata.db'])
})

test('a newer store is refused with the release that it needs, and stays as it is', async () => {
  await using directory = await TemporaryDirectory.create()
  await (await open(directory, [second, other], '2.3.0'))[Symbol.asyncDispose]()
  for (const migrations of [[first, other], [second]]) {
    const opening = open(directory, migrations, '1.0.0')
    await expect(opening).rejects.toThrow(FailedPreconditionError)
    await expect(opening).rejects.toThrow('use release 2.3.0 or newer')
  }
  await (await open(directory, [second, other], '2.3.0'))[Symbol.asyncDispose]()
  expect(await readdir(directory.path)).toEqual(['metadata.db'])
})

test('a store of a newer build is not called damaged where both builds have the same number', async () => {
  await using directory = await TemporaryDirectory.create()
  await (await open(directory, [second, other], '1.0.0'))[Symbol.asyncDispose]()
  for (const migrations of [[first, other], [second]]) {
    const opening = open(directory, migrations, '1.0.0')
    await expect(opening).rejects.toThrow(FailedPreconditionError)
    await expect(opening).rejects.toThrow(
      /written by a newer build of release 1\.0\.0 .*: use that build or newer, or go back to .* --undo$/,
    )
  }
  await (await open(directory, [second, other], '1.0.0'))[Symbol.asyncDispose]()
  expect(await readdir(directory.path)).toEqual(['metadata.db'])
})

test('an upgrade that fails at its last step leaves the store to the release before', async () => {
  await using directory = await TemporaryDirectory.create()
  await (await open(directory, [first], '1.0.0'))[Symbol.asyncDispose]()
  const late: Migrations = {
    layer: 'late',
    steps: [['CREATE TABLE late (id INTEGER)'], ['NONSENSE']],
  }
  await expect(open(directory, [second, late], '2.0.0')).rejects.toThrow('NONSENSE')
  await (await open(directory, [first], '1.0.0'))[Symbol.asyncDispose]()
})

test('a step that fails changes nothing, and may be tried again', async () => {
  await using directory = await TemporaryDirectory.create()
  const broken: Migrations = {
    layer: 'storage',
    steps: [...first.steps, ['CREATE TABLE extra (id INTEGER)', 'NONSENSE']],
  }
  await expect(open(directory, [broken])).rejects.toThrow('NONSENSE')
  const fixed: Migrations = {
    layer: 'storage',
    steps: [...first.steps, ['CREATE TABLE extra (id INTEGER)']],
  }
  await using database = await open(directory, [fixed])
  await database.transact((tx) => tx.run('INSERT INTO extra (id) VALUES (1)'))
})

test('a step that leaves rows that refer to nothing is refused', async () => {
  await using directory = await TemporaryDirectory.create()
  const orphaning: Migrations = {
    layer: 'storage',
    steps: [...first.steps, ['INSERT INTO children (parent) VALUES (7)']],
  }
  await expect(open(directory, [orphaning])).rejects.toThrow('children that refer to nothing')
  await using database = await open(directory, [first])
  await expect(
    database.transact((tx) => tx.run('INSERT INTO children (parent) VALUES (7)')),
  ).rejects.toThrow('FOREIGN KEY')
})

test('a file that is no database is reported as damaged, with its path', async () => {
  await using directory = await TemporaryDirectory.create()
  await writeFile(directory.join('metadata.db'), 'x'.repeat(10_000))
  await expect(open(directory, [])).rejects.toThrow(DataLossError)
  await expect(open(directory, [])).rejects.toThrow(directory.join('metadata.db'))
})

test('the database of another program is refused and left alone', async () => {
  await using directory = await TemporaryDirectory.create()
  const foreign = new DatabaseSync(directory.join('metadata.db'))
  foreign.exec('CREATE TABLE theirs (id)')
  await expect(open(directory, [first])).rejects.toThrow(FailedPreconditionError)
  expect(foreign.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'theirs' }])
  foreign.close()
})

test('a path that cannot be opened is reported with what to check', async () => {
  await using directory = await TemporaryDirectory.create()
  const opening = openSqlite({
    path: directory.join('missing', 'metadata.db'),
    migrations: [],
    clock: new SystemClock(),
  })
  await expect(opening).rejects.toThrow(UnavailableError)
  await expect(opening).rejects.toThrow('check that its directory exists')
})

test.each([
  ['CREATE TABLE t (bytes BYTES)', 'CREATE TABLE t (bytes BLOB)\nSTRICT'],
  [
    'CREATE TABLE t (a TEXT PRIMARY KEY); -- clustered\n',
    'CREATE TABLE t (a TEXT PRIMARY KEY); -- clustered\nSTRICT, WITHOUT ROWID',
  ],
  [
    "-- why\nCREATE TABLE t (a TEXT DEFAULT 'BYTES', b BYTES);",
    "-- why\nCREATE TABLE t (a TEXT DEFAULT 'BYTES', b BLOB)\nSTRICT",
  ],
  ['CREATE INDEX i ON t (a)', 'CREATE INDEX i ON t (a)'],
  ['ALTER TABLE t ADD COLUMN b BYTES', 'ALTER TABLE t ADD COLUMN b BLOB'],
])('%j becomes %j', (common, sqlite) => {
  expect(sqliteDialect(common)).toBe(sqlite)
})
