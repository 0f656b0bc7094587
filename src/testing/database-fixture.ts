import type { Database, Migrations, ReadTransaction, Transaction } from '../database/database.ts'

/** One store that may be opened several times, one after the other; disposing removes it. */
export interface DatabaseStore extends AsyncDisposable {
  open(migrations: readonly Migrations[]): Promise<Database>
}

export type NewDatabaseStore = () => Promise<DatabaseStore>

/** The tables that the suite uses. */
export const migrations: readonly Migrations[] = [
  {
    layer: 'conformance',
    steps: [
      [
        'CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) -- clustered',
        'CREATE TABLE integers (id INTEGER PRIMARY KEY, value INTEGER)',
        'CREATE TABLE texts (id INTEGER PRIMARY KEY, value TEXT)',
        'CREATE TABLE blobs (id INTEGER PRIMARY KEY, value BYTES)',
        'CREATE INDEX texts_by_value ON texts (value)',
      ],
    ],
  },
]

/** A store of its own for one test, opened. */
export interface One extends AsyncDisposable {
  readonly store: DatabaseStore
  readonly database: Database
}

export type OpenOne = () => Promise<One>

export async function openOne(newStore: NewDatabaseStore): Promise<One> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(await newStore())
  const database = opened.use(await store.open(migrations))
  const held = opened.move()
  return {
    store,
    database,
    async [Symbol.asyncDispose]() {
      await held.disposeAsync()
    },
  }
}

export async function counter(tx: ReadTransaction, name: string): Promise<number | undefined> {
  const row = await tx.get<{ value: number }>('SELECT value FROM counters WHERE name = ?', name)
  return row?.value
}

export async function setCounter(tx: Transaction, name: string, value: number): Promise<void> {
  await tx.run(
    `INSERT INTO counters (name, value) VALUES (?, ?)
     ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    name,
    value,
  )
}

export async function fillOne(tx: Transaction, id: number): Promise<void> {
  await tx.run('INSERT INTO integers (id, value) VALUES (?, 1)', id)
}
