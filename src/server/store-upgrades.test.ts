import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { openSqlite } from '../database/sqlite.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { openDataDirectory } from './data-directory.ts'
import { migrations } from './migrations.ts'
import { upgradeStore } from './store-upgrades.ts'

const clock = new SystemClock()
const older = migrations.map((known) =>
  known.layer === 'versioning' ? { ...known, steps: known.steps.slice(0, -1) } : known,
)

/** A data directory that the release before has made. */
async function makeOlder(root: string): Promise<void> {
  await using directory = await openDataDirectory(root, new SystemRandom())
  const { metadata: path, store } = directory
  await using _ = await openSqlite({ path, migrations: older, clock, release: '0', store })
  await directory.settle()
}

async function run(root: string, kind: 'look' | 'upgrade' | 'undo'): Promise<string> {
  const lines: string[] = []
  const wish = { root, kind, environment: {}, log: () => undefined }
  for await (const line of upgradeStore(wish)) lines.push(line)
  return lines.join('\n')
}

async function versioningOf(root: string): Promise<string> {
  const text = await run(root, 'look')
  return text.includes('would bring versioning') ? 'older' : text
}

test('an undo that was stopped anywhere goes on when it is called again', async () => {
  for (const isMovedAside of [false, true]) {
    await using temporary = await TemporaryDirectory.create()
    const root = temporary.join('data')
    await makeOlder(root)
    await run(root, 'upgrade')
    expect(await versioningOf(root)).toMatch(/there is nothing to do$/)
    await writeFile(join(root, 'metadata.db.undo'), 'half')
    if (isMovedAside) await rename(join(root, 'metadata.db'), join(root, 'metadata.db.undone-1'))
    expect(await run(root, 'undo')).toMatch(/Now start the release that ran before$/)
    expect(await versioningOf(root)).toBe('older')
    expect(await readdir(root)).not.toContain('metadata.db.undo')
    await expect(run(root, 'undo')).rejects.toThrow('there is nothing to go back from')
    await run(root, 'upgrade')
  }
})

test('what there is no way back to, or none of ours, is refused with advice', async () => {
  await using temporary = await TemporaryDirectory.create()
  const [root, other] = [temporary.join('data'), temporary.join('other')]
  await mkdir(temporary.join('empty'))
  await expect(run(temporary.join('empty'), 'upgrade')).rejects.toThrow('is no data directory of')
  for (const made of [root, other]) await makeOlder(made)
  await expect(run(root, 'undo')).rejects.toThrow('there is no copy of before an upgrade')
  for (const made of [root, other]) await run(made, 'upgrade')
  const [copy = ''] = (await readdir(root)).filter((name) => name.includes('.backup-'))
  await rm(join(root, copy))
  await rename(join(other, copy), join(root, copy))
  await expect(run(root, 'undo')).rejects.toThrow('that is of another data directory')
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
