import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { openSqlite } from '../database/sqlite.ts'
import { crashMigrations } from '../testing/pack-crash.ts'
import { openPackedStore } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import type { ChunkId } from './chunks.ts'
import { storageMigrations } from './tables.ts'

const child = fileURLToPath(new URL('../testing/pack-crash-child.ts', import.meta.url))

const steps = [
  'pack: write',
  'pack: before the last chunks',
  'pack: chunks written',
  'pack: footer written',
  'object: before sync',
  'object: sync',
  'object: synced',
  'object: linked',
  'object: directory synced',
  'object: draft removed',
  'pack: stored',
  'pack: listed',
]

/** Opens what the child left and reads everything that it refers to; returns how much that is. */
async function checkStore(directory: string): Promise<number> {
  await using database = await openSqlite({
    path: directory,
    migrations: [storageMigrations, crashMigrations],
    clock: new SystemClock(),
  })
  await using parts = await openPackedStore({ directory, database })
  const references = await database.read((tx) =>
    tx.all<{ id: ChunkId; seed: number; size: number }>('SELECT id, seed, size FROM crash_chunks'),
  )
  for (const { id, seed, size } of references) {
    const bytes = await parts.store.get(id)
    expect(Buffer.compare(bytes, seededBytes(seed + size, size))).toBe(0)
  }
  // What the crash left is either gone or in use.
  expect(await readdir(join(directory, 'scratch'))).toEqual([])
  expect(await readdir(join(directory, 'objects', '.incoming'))).toEqual([])
  const listed = await database.read((tx) => tx.all('SELECT name FROM packs'))
  const stored = await Array.fromAsync(parts.objects.list('packs/'))
  expect(stored).toHaveLength(listed.length)
  return references.length
}

describe('a process killed while it writes', () => {
  test('leaves no reference to a missing chunk, whatever the step', async () => {
    await using directory = await TemporaryDirectory.create()
    let referenceCount = 0
    // Later, when some packs are stored, only where a pack changes hands.
    const later = ['pack: write', 'object: linked', 'pack: stored']
    for (const [count, reached] of [['1', steps] as const, ['5', later] as const]) {
      for (const step of reached) {
        const process = spawn(globalThis.process.execPath, [child, directory.path, step, count], {
          stdio: ['ignore', 'ignore', 'inherit'],
        })
        const [, signal] = await once(process, 'exit')
        expect(`${step}: ${signal}`).toBe(`${step}: SIGKILL`)
        const before = referenceCount
        referenceCount = await checkStore(directory.path)
        expect(referenceCount).toBeGreaterThanOrEqual(before)
      }
    }
    expect(referenceCount).toBeGreaterThan(5)
  }, 120_000)
})
