import { expect, test } from 'vitest'
import type { Migrations, ReadTransaction } from '../database/database.ts'
import { MemorySpools } from '../testing/memory-spools.ts'
import { temporaryDatabase } from '../testing/temporary-database.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { snapshotKeys } from './snapshot-keys.ts'
import { FileSpools } from './spool.ts'

const migrations: Migrations = {
  layer: 'keys',
  steps: [['CREATE TABLE keys (position INTEGER NOT NULL PRIMARY KEY, key TEXT NOT NULL)']],
}

async function* byPosition(tx: ReadTransaction): AsyncGenerator<readonly string[]> {
  const rows = await tx.all<{ readonly key: string }>('SELECT key FROM keys ORDER BY position')
  yield rows.map(({ key }) => key)
}

test('keys of any kind come in their order, however many, by way of the disk', async () => {
  await using held = await temporaryDatabase([migrations])
  await using directory = await TemporaryDirectory.create()
  // Some 3 MB, with keys across the ends of blocks.
  const kinds = ['', 'line\nend', '"quoted"', 'é✓', 'k'.repeat(300)]
  const keys = Array.from({ length: 40_000 }, (_, index) => `${kinds[index % 5] ?? ''}${index}`)
  await held.database.transact(async (tx) => {
    for (const [index, key] of keys.entries()) {
      await tx.run('INSERT INTO keys (position, key) VALUES (?, ?)', index, key)
    }
  })
  const ports = { database: held.database, spools: new FileSpools(directory.path) }
  const pages = await Array.fromAsync(snapshotKeys(ports, byPosition))
  expect(Math.max(...pages.map((page) => page.length))).toBe(500)
  expect(pages.flat()).toEqual(keys)
})

test('what is written meanwhile changes nothing, and no keys are no page', async () => {
  await using held = await temporaryDatabase([migrations])
  const { database } = held
  const ports = { database, spools: new MemorySpools() }
  expect(await Array.fromAsync(snapshotKeys(ports, byPosition))).toEqual([])
  const keys = Array.from({ length: 1200 }, (_, index) => `key-${index}`)
  await database.transact(async (tx) => {
    for (const [index, key] of keys.entries()) {
      await tx.run('INSERT INTO keys (position, key) VALUES (?, ?)', index, key)
    }
  })
  const found: string[] = []
  for await (const page of snapshotKeys(ports, byPosition)) {
    found.push(...page)
    await database.transact((tx) => tx.run('DELETE FROM keys'))
  }
  expect(found).toEqual(keys)
})
