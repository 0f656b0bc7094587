import { statfsSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { commitFiles } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { pachdHere } from '../harness/pachd-here.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

let directory: TemporaryDirectory
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
})
afterEach(async () => {
  await directory[Symbol.asyncDispose]()
})

/** A backup of some 3 MiB. */
async function backUp(place: string): Promise<void> {
  await using server = await TestPachd.start()
  await server.pfs.createRepo({ repo: { name: 'images' } })
  const text = Buffer.from(seededBytes(1, 3_000_000)).toString('base64')
  await commitFiles(server, { repo: 'images', branch: 'master' }, { file: text })
  const here = { port: server.port, home: directory.path }
  expect(await pachctlHere(['extract', '--directory', place], here)).toMatchObject({ code: 0 })
}

/** Leaves so much room on it. */
function fillUp(disk: string, leftBytes: number): void {
  const { bavail, bsize } = statfsSync(disk)
  writeFileSync(join(disk, 'ballast'), new Uint8Array(bavail * bsize - leftBytes))
}

/** How a restore ends on a full disk, and how it does once there is room. */
async function restoreTwice(
  disk: string,
  restore: readonly string[],
  onOutput?: (text: string) => void,
): Promise<{ readonly err: string; readonly codes: readonly (number | null)[] }> {
  const { code, err } = await pachdHere(restore, undefined, onOutput)
  await rm(join(disk, 'ballast'))
  return { err, codes: [code, (await pachdHere(restore)).code] }
}

const room =
  /the restore takes [\d.]+MiB there, and [\d.]+[KM]iB are free: make room for [\d.]+[KM]iB more and do the same again, or restore to a data directory on a larger disk; nothing has been restored/

test('a restore that has no room says how much it takes, and begins nothing', async ({ skip }) => {
  const [disk, backup] = [directory.join('disk'), directory.join('backup')]
  await using mounted = await mountSmallDisk(disk, 8)
  if (mounted === undefined) leaveOut({ skip }, 'this machine lets us mount nothing')
  await backUp(backup)
  fillUp(disk, 2_000_000)
  const restore = ['--root', join(disk, 'data'), '--restore', backup]
  const { code, err } = await pachdHere(restore)
  expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(room) })
  expect(err).not.toContain('garbage-collect')
  expect(await readdir(disk)).toEqual(['ballast'])
  await rm(join(disk, 'ballast'))
  expect(await pachdHere(restore)).toMatchObject({ code: 0 })
})

test('where packs have another disk, its room counts for them', async ({ skip }) => {
  const [disk, backup, root] = [
    directory.join('disk'),
    directory.join('backup'),
    directory.join('data'),
  ]
  await using mounted = await mountSmallDisk(disk, 2)
  if (mounted === undefined) leaveOut({ skip }, 'this machine lets us mount nothing')
  await backUp(backup)
  await pachdHere(['--root', root], async () => {})
  await rm(join(root, 'objects'), { recursive: true })
  await mkdir(join(disk, 'objects'))
  await symlink(join(disk, 'objects'), join(root, 'objects'))
  const { code, err } = await pachdHere(['--root', root, '--restore', backup])
  expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(room) })
  expect(err).toContain(`(at ${join(root, 'objects')})`)
})

test('a disk that becomes full while a restore is on its way is told with what is free of it', async ({
  skip,
}) => {
  const [disk, backup] = [directory.join('disk'), directory.join('backup')]
  await using mounted = await mountSmallDisk(disk, 8)
  if (mounted === undefined) leaveOut({ skip }, 'this machine lets us mount nothing')
  await backUp(backup)
  const root = join(disk, 'data')
  const restore = ['--root', root, '--restore', backup]
  let isFull = false
  const { err, codes } = await restoreTwice(disk, restore, (text) => {
    if (isFull || !text.includes('objects are to come')) return
    isFull = true
    fillUp(disk, 1_000_000)
  })
  expect(err).toMatch(
    /[\d.]+KiB are free, and what is to come takes more: make room, and do the same again, which goes on/,
  )
  expect(err).not.toContain('garbage-collect')
  expect(codes).toEqual([1, 0])
})

test('where a pack that is to be restored has no room, it says so, and goes on once there is some', async ({
  skip,
}) => {
  const [disk, backup] = [directory.join('disk'), directory.join('backup')]
  await using mounted = await mountSmallDisk(disk, 8)
  if (mounted === undefined) leaveOut({ skip }, 'this machine lets us mount nothing')
  await backUp(backup)
  const root = join(disk, 'data')
  expect(await pachdHere(['--root', root, '--restore', backup])).toMatchObject({ code: 0 })
  await rm(join(root, 'objects', 'packs'), { recursive: true })
  fillUp(disk, 1_000_000)
  const restore = ['--root', root, '--restore-packs', backup]
  const { err, codes } = await restoreTwice(disk, restore)
  expect(err).toMatch(
    /the next pack takes [\d.]+MiB there, and [\d.]+KiB are free: make room for [\d.]+MiB more and do the same again, which goes on with what is there/,
  )
  expect(err).not.toContain('garbage-collect')
  expect(codes).toEqual([1, 0])
})

test('a server whose disk has no room for a restore says so before anything comes', async ({
  skip,
}) => {
  const [disk, backup] = [directory.join('disk'), directory.join('backup')]
  await using mounted = await mountSmallDisk(disk, 8)
  if (mounted === undefined) leaveOut({ skip }, 'this machine lets us mount nothing')
  await backUp(backup)
  await using server = await TestPachd.start({ root: join(disk, 'data') })
  fillUp(disk, 2_000_000)
  const here = { port: server.port, home: directory.path }
  const { code, err } = await pachctlHere(['restore', '--directory', backup], here)
  expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(room) })
  expect(await readdir(join(disk, 'data', 'objects', 'packs')).catch(() => [])).toEqual([])
})
