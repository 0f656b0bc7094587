import { readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeOlder, upgradeLines } from '../../src/testing/older-store.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

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
  expect(await upgradeLines(root, 'look')).toMatch(/it takes up to .* of which .* are free/)
  await fillUp(disk)
  const before = (await readdir(root)).toSorted()
  for (const kind of ['look', 'upgrade'] as const) {
    const failure = await upgradeLines(root, kind).catch(String)
    expect(failure).toMatch(room)
    expect(failure).not.toContain('garbage-collect')
  }
  expect((await readdir(root)).filter((name) => !before.includes(name))).toEqual([])
  await rm(join(disk, 'ballast'))
  expect(await upgradeLines(root, 'upgrade')).toContain('is ready for release')
  await fillUp(disk)
  const failure = await upgradeLines(root, 'undo').catch(String)
  expect(failure).toMatch(/a copy of .* there is no room for it/)
  await rm(join(disk, 'ballast'))
  expect(await upgradeLines(root, 'undo')).toContain('Now start the release that ran before')
})
