import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import {
  collectReferences,
  openCrashStore,
  readReferences,
  runToStep,
} from '../testing/pack-crash.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'

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
  await using opened = await openCrashStore(directory)
  const { database, store, objects } = opened
  const references = await readReferences(opened)
  expect(await readdir(join(directory, 'scratch'))).toEqual([])
  expect(await database.read((tx) => tx.all('SELECT name FROM retired_packs'))).toEqual([])
  const names = async (): Promise<readonly unknown[]> =>
    await database.read((tx) => tx.all('SELECT name FROM packs'))
  expect(await Array.fromAsync(objects.list('packs/'))).toHaveLength((await names()).length)
  const { chunksMarked, bytesAfter } = await collectReferences({ store, database })
  expect(chunksMarked).toBe(references.length)
  const stored = await Array.fromAsync(objects.list('packs/'))
  expect(stored).toHaveLength((await names()).length)
  // What is needed, twice at most: sparser packs have been copied.
  const needed = references.reduce((sum, { size }) => sum + size + 48, 0)
  expect(bytesAfter).toBeLessThan(needed * 2 + 1000)
  expect(stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe(bytesAfter)
  for (const { id } of references) await store.get(id)
  return references.length
}

test('a collection that is killed at any step loses nothing, and the next one frees the rest', async () => {
  await using directory = await TemporaryDirectory.create()
  for (const step of steps) {
    for (const count of step === 'object: linked' ? ['1', '3'] : ['1']) {
      await runToStep(child, directory.path, { step, count })
      expect(await checkStore(directory.path)).toBeGreaterThan(0)
    }
  }
})
