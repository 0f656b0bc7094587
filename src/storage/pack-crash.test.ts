import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { openCrashStore, readReferences, runToStep } from '../testing/pack-crash.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'

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
  await using opened = await openCrashStore(directory)
  const { database, objects } = opened
  const references = await readReferences(opened)
  // What the crash left is either gone or in use.
  expect(await readdir(join(directory, 'scratch'))).toEqual([])
  expect(await readdir(join(directory, 'objects', '.incoming'))).toEqual([])
  const listed = await database.read((tx) => tx.all('SELECT name FROM packs'))
  const stored = await Array.fromAsync(objects.list('packs/'))
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
        await runToStep(child, directory.path, { step, count })
        const before = referenceCount
        referenceCount = await checkStore(directory.path)
        expect(referenceCount).toBeGreaterThanOrEqual(before)
      }
    }
    expect(referenceCount).toBeGreaterThan(5)
  })
})
