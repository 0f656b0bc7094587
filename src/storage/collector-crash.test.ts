import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { openSqlite } from '../database/sqlite.ts'
import { collectReferences, crashMigrations, listReferences } from '../testing/pack-crash.ts'
import { openPackedStore } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { storageMigrations } from './tables.ts'

const child = fileURLToPath(new URL('../testing/collection-crash-child.ts', import.meta.url))

const steps = [
  'pack: write',
  'pack: before the last chunks',
  'pack: chunks written',
  'pack: footer written',
  'collect: copied',
  'object: before sync',
  'object: synced',
  'object: linked',
  'object: directory synced',
  'object: draft removed',
  'collect: successor stored',
  'collect: taken off the list',
  'collect: object deleted',
  'collect: pack forgotten',
]

/** Reads all that is referred to in what the child left; then frees the rest. */
async function checkStore(directory: string): Promise<number> {
  await using database = await openSqlite({
    path: directory,
    migrations: [storageMigrations, crashMigrations],
    clock: new SystemClock(),
  })
  await using parts = await openPackedStore({ directory, database })
  const references = await listReferences(database)
  for (const { id, seed, size } of references) {
    const bytes = await parts.store.get(id)
    expect(Buffer.compare(bytes, seededBytes(seed + size, size))).toBe(0)
  }
  expect(await readdir(join(directory, 'scratch'))).toEqual([])
  expect(await database.read((tx) => tx.all('SELECT name FROM retired_packs'))).toEqual([])
  const names = async (): Promise<readonly unknown[]> =>
    await database.read((tx) => tx.all('SELECT name FROM packs'))
  expect(await Array.fromAsync(parts.objects.list('packs/'))).toHaveLength((await names()).length)
  const { chunksMarked, bytesAfter } = await collectReferences({ store: parts.store, database })
  expect(chunksMarked).toBe(references.length)
  const objects = await Array.fromAsync(parts.objects.list('packs/'))
  expect(objects).toHaveLength((await names()).length)
  // What is needed, twice at most: sparser packs have been copied.
  const needed = references.reduce((sum, { size }) => sum + size + 48, 0)
  expect(bytesAfter).toBeLessThan(needed * 2 + 1000)
  expect(objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe(bytesAfter)
  for (const { id } of references) await parts.store.get(id)
  return references.length
}

test('a collection that is killed at any step loses nothing, and the next one frees the rest', async () => {
  await using directory = await TemporaryDirectory.create()
  for (const step of steps) {
    for (const count of step === 'object: linked' ? ['1', '3'] : ['1']) {
      const process = spawn(globalThis.process.execPath, [child, directory.path, step, count], {
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      const [, signal] = await once(process, 'exit')
      expect(`${step}: ${signal}`).toBe(`${step}: SIGKILL`)
      expect(await checkStore(directory.path)).toBeGreaterThan(0)
    }
  }
}, 240_000)
