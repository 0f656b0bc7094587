import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { makeOlder, upgradeLines } from '../testing/older-store.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'

async function versioningOf(root: string): Promise<string> {
  const text = await upgradeLines(root, 'look')
  return text.includes('would bring versioning') ? 'older' : text
}

test('an undo that was stopped anywhere goes on when it is called again', async () => {
  for (const isMovedAside of [false, true]) {
    await using temporary = await TemporaryDirectory.create()
    const root = temporary.join('data')
    await makeOlder(root)
    await upgradeLines(root, 'upgrade')
    expect(await versioningOf(root)).toMatch(/there is nothing to do$/)
    await writeFile(join(root, 'metadata.db.undo'), 'half')
    if (isMovedAside) await rename(join(root, 'metadata.db'), join(root, 'metadata.db.undone-1'))
    expect(await upgradeLines(root, 'undo')).toMatch(/Now start the release that ran before$/)
    expect(await versioningOf(root)).toBe('older')
    expect(await readdir(root)).not.toContain('metadata.db.undo')
    await expect(upgradeLines(root, 'undo')).rejects.toThrow('there is nothing to go back from')
    await upgradeLines(root, 'upgrade')
  }
})

test('an undo forgets what is known of places outside, which were used since', async () => {
  await using temporary = await TemporaryDirectory.create()
  const root = temporary.join('data')
  const rows = (): readonly unknown[] => {
    using database = new DatabaseSync(join(root, 'metadata.db'))
    return database.prepare('SELECT * FROM exported_outputs').all()
  }
  await makeOlder(root)
  {
    using database = new DatabaseSync(join(root, 'metadata.db'))
    database.exec("INSERT INTO exported_outputs VALUES ('id', 1, 'place', 'commit', NULL)")
  }
  await upgradeLines(root, 'upgrade')
  expect(rows()).toHaveLength(1)
  await upgradeLines(root, 'undo')
  expect(rows()).toEqual([])
})

test('what there is no way back to, or none of ours, is refused with advice', async () => {
  await using temporary = await TemporaryDirectory.create()
  const [root, other] = [temporary.join('data'), temporary.join('other')]
  await mkdir(temporary.join('empty'))
  await expect(upgradeLines(temporary.join('empty'), 'upgrade')).rejects.toThrow(
    'is no data directory of',
  )
  for (const made of [root, other]) await makeOlder(made)
  await expect(upgradeLines(root, 'undo')).rejects.toThrow('there is no copy of before an upgrade')
  for (const made of [root, other]) await upgradeLines(made, 'upgrade')
  const [copy = ''] = (await readdir(root)).filter((name) => name.includes('.backup-'))
  await rm(join(root, copy))
  await rename(join(other, copy), join(root, copy))
  await expect(upgradeLines(root, 'undo')).rejects.toThrow('that is of another data directory')
  expect(await versioningOf(root)).toMatch(/there is nothing to do$/)
})

test('a look changes nothing, whether or not there is something to do', async () => {
  await using temporary = await TemporaryDirectory.create()
  const root = temporary.join('data')
  await makeOlder(root)
  const names = async (): Promise<readonly string[]> =>
    (await readdir(root, { recursive: true }))
      .filter((name) => !/-(wal|shm)$/.test(name))
      .toSorted()
  const before = await names()
  expect(await versioningOf(root)).toBe('older')
  expect(await versioningOf(root)).toBe('older')
  expect(await names()).toEqual([...before, 'scratch'].toSorted())
})
