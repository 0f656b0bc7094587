import { readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { openSqlite } from '../../src/database/sqlite.ts'
import { openDataDirectory } from '../../src/server/data-directory.ts'
import { migrations } from '../../src/server/migrations.ts'
import { upgradeStore } from '../../src/server/store-upgrades.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

const older = migrations.map((known) =>
  known.layer === 'versioning' ? { ...known, steps: known.steps.slice(0, -1) } : known,
)

/** A data directory that the release before has made. */
async function makeOlder(root: string): Promise<void> {
  await using directory = await openDataDirectory(root, new SystemRandom())
  const { metadata: path, store } = directory
  const clock = new SystemClock()
  await using _ = await openSqlite({ path, migrations: older, clock, release: '0', store })
  await directory.settle()
}

async function run(root: string, kind: 'look' | 'upgrade' | 'undo'): Promise<string> {
  const lines: string[] = []
  const wish = { root, kind, environment: {}, log: () => undefined }
  for await (const line of upgradeStore(wish)) lines.push(line)
  return lines.join('\n')
}

/** Leaves so much room that a database can be opened, and not copied. */
async function fillUp(disk: string): Promise<void> {
  const { bavail, bsize } = await statfs(disk)
  await writeFile(join(disk, 'ballast'), new Uint8Array(bavail * bsize - 160 * 1024))
}

const room = /takes up to [\d.]+[KM]?i?B, .* and [\d.]+[KM]?i?B are free; make room/

test('an upgrade on a full disk says how much room it needs, changes nothing, and can be done later', async ({
  skip,
}) => {
  await using directory = await TemporaryDirectory.create()
  const disk = directory.join('disk')
  await using mounted = await mountSmallDisk(disk, 8)
  if (mounted === undefined) leaveOut({ skip }, 'this machine lets us mount nothing')
  const root = join(disk, 'data')
  await makeOlder(root)
  expect(await run(root, 'look')).toMatch(/it takes up to .* of which .* are free/)
  await fillUp(disk)
  const before = (await readdir(root)).toSorted()
  for (const kind of ['look', 'upgrade'] as const) {
    const failure = await run(root, kind).catch(String)
    expect(failure).toMatch(room)
    expect(failure).not.toContain('garbage-collect')
  }
  expect((await readdir(root)).filter((name) => !before.includes(name))).toEqual([])
  await rm(join(disk, 'ballast'))
  expect(await run(root, 'upgrade')).toContain('is ready for release')
  await fillUp(disk)
  const failure = await run(root, 'undo').catch(String)
  expect(failure).toMatch(/a copy of .* there is no room for it/)
  await rm(join(disk, 'ballast'))
  expect(await run(root, 'undo')).toContain('Now start the release that ran before')
})
