import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import type { Migrations } from '../database/database.ts'
import { openSqlite } from '../database/sqlite.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { migrations } from './migrations.ts'

const clock = new SystemClock()
const id = 'a'.repeat(32)

/** The tables that the release before would have, had it known a step less of a layer. */
function before(layer: string): readonly Migrations[] {
  return migrations.map((known) =>
    known.layer === layer ? { ...known, steps: known.steps.slice(0, -1) } : known,
  )
}

/** Makes a repo unless it is there, with the tables of one release, and says which there are. */
async function reposWith(
  directory: string,
  tables: readonly Migrations[],
  options: { readonly release: string; readonly isNew?: boolean; readonly make?: string },
): Promise<readonly string[]> {
  const { release, isNew = false, make } = options
  await using database = await openSqlite({
    path: directory,
    migrations: tables,
    clock,
    release,
    store: { id, isNew },
  })
  if (make !== undefined) {
    await database.transact((tx) =>
      tx.run(
        'INSERT INTO repos (name, description, created_at, size_bytes, written) VALUES (?, ?, 1, 0, ?)',
        make,
        '',
        clock.now(),
      ),
    )
  }
  const rows = await database.read((tx) =>
    tx.all<{ readonly name: string }>('SELECT name FROM repos ORDER BY name'),
  )
  return rows.map(({ name }) => name)
}

test.each(migrations.filter(({ steps }) => steps.length > 1).map(({ layer }) => layer))(
  'an upgrade of %s is gone back on with the copy that was made before it, and made once more',
  async (layer) => {
    await using temporary = await TemporaryDirectory.create()
    const directory = temporary.path
    const [old, young] = [before(layer), migrations]
    const is = { isNew: true, make: 'kept' }
    expect(await reposWith(directory, old, { release: '1', ...is })).toEqual(['kept'])
    expect(await reposWith(directory, young, { release: '2', make: 'late' })).toEqual([
      'kept',
      'late',
    ])
    // The older one says what it needs, and changes nothing.
    await expect(reposWith(directory, old, { release: '1' })).rejects.toThrow(
      /use release 2 or newer, or go back to what there was before the upgrade, with its pachctl/,
    )
    const copy = (await readdir(directory)).find((name) => name.includes('.backup-')) ?? ''
    for (const suffix of ['', '-wal', '-shm', '-open']) {
      await rm(join(directory, `metadata.db${suffix}`), { force: true })
    }
    await rename(join(directory, copy), join(directory, 'metadata.db'))
    expect(await reposWith(directory, old, { release: '1', make: 'after' })).toEqual([
      'after',
      'kept',
    ])
    expect(await reposWith(directory, young, { release: '2' })).toEqual(['after', 'kept'])
  },
)
