import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor, runPachd } from '../harness/child-pachd.ts'
import { allNumbers, commitNumbered, expectWhole, readable } from '../harness/numbered-files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { flip, largePacks } from '../harness/stored-packs.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let directory: TemporaryDirectory
/** A backup of the store as it was, and one that was made without a pack which was damaged then. */
let whole: string
let lacking: string
/** What was said of the latter. */
let made: Awaited<ReturnType<typeof pachctl>>
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
  ;[whole, lacking] = [directory.join('whole'), directory.join('lacking')]
  await using source = await TestPachd.start()
  await commitNumbered(source)
  await pachctl(source.port, 'extract', '--directory', whole)
  const [pack = ''] = await largePacks(join(source.root, 'objects'))
  await flip(pack)
  const args = ['extract', '--directory', lacking, '--skip-damaged'] as const
  made = await pachctl(source.port, ...args)
})
afterEach(async () => {
  await directory[Symbol.asyncDispose]()
})

async function pachctl(port: number, ...args: readonly string[]) {
  return await pachctlHere(args, { port, home: directory.path })
}

/** The file of `root` that is lost, and that the rest is there. */
async function lostIn(root: string): Promise<number> {
  await using restored = await TestPachd.start({ root })
  const left = await readable(restored)
  expect(left.length).toBe(allNumbers.length - 1)
  return allNumbers.find((number) => !left.includes(number)) ?? -1
}

function told(file: number): RegExp {
  return new RegExp(`^ +data@\\w{32}:/f${file}$`, 'm')
}

test('pachd restores a snapshot that was made without damaged packs when that is asked for, and names the files', async () => {
  const root = directory.join('new')
  const args = ['--root', root, '--restore', lacking] as const
  const refused = await runPachd(...args)
  expect(refused.code).toBe(1)
  expect(refused.err).toMatch(
    /was made with --skip-damaged: 1 of the \d+ packs .* nothing has been restored\..*--skip-damaged, which says/,
  )
  const run = await runPachd(...args, '--skip-damaged')
  expect(run.code).toBe(1)
  expect(run.out).toMatch(/^lost in the backup: packs\/\S+: it was damaged in the store/m)
  const lost = await lostIn(root)
  expect(run.out).toMatch(told(lost))
  // What the first one told is told again, to whoever was not there when it ended.
  const again = await runPachd(...args, '--skip-damaged')
  expect(again).toMatchObject({
    code: 1,
    err: 'pachd: nothing was brought anew: to have the snapshot once more, restore it into a new directory\n',
  })
  expect(again.out).toMatch(/^\S+ was restored from snapshot \S+ before; what is damaged there, as/)
  expect(again.out).toMatch(told(lost))
  const mended = await runPachd('--root', root, '--restore-packs', whole)
  expect(mended).toMatchObject({ code: 0, err: '' })
  await expectWhole(root)
  const nothing = await runPachd(...args, '--skip-damaged')
  expect(nothing).toMatchObject({ code: 1, out: expect.stringMatching(/ tells it:\nnothing\n$/) })
})

test('what a snapshot lacks is looked for in the backup of --restore-packs, too', async () => {
  const root = directory.join('new')
  const args = ['--root', root, '--restore', lacking, '--restore-packs', whole] as const
  expect((await runPachd(...args)).code).toBe(0)
  await expectWhole(root)
})

test('pachctl restores such a snapshot when that is asked for, and names the files, as often as it is asked', async () => {
  const root = directory.join('new')
  await using child = new ChildPachd(oneDoor(root))
  const port = await child.ready
  const args = ['restore', '--directory', lacking] as const
  const refused = await pachctl(port, ...args)
  expect(refused.code).toBe(1)
  expect(refused.err).toMatch(/was made with --skip-damaged: .*nothing has been restored/)
  const run = await pachctl(port, ...args, '--skip-damaged')
  expect(run.code).toBe(1)
  const again = await pachctl(port, ...args, '--skip-damaged')
  expect(again.code).toBe(1)
  child.signal('SIGTERM')
  await child.exit
  const lost = await lostIn(root)
  expect(run.out).toMatch(/^lost in the backup: packs\/\S+: it was damaged in the store/m)
  for (const { out } of [run, again]) expect(out).toMatch(told(lost))
})

test('a repo whose files such a snapshot lacks is not restored, and it is said why, and what can be', async () => {
  await using fresh = await TestPachd.start({ backup: { to: lacking, keepCount: 1 } })
  for (const place of ['--directory', '--url']) {
    const args = ['restore', place, lacking, '--repo', 'data'] as const
    // The one before may not have ended on the other side.
    await expect
      .poll(async () => (await pachctl(fresh.port, ...args)).err)
      .toMatch(
        /^snapshot \S+ was made with --skip-damaged, and packs\/\S+, which these repos need, was damaged in the store then, and left out; nothing has been restored\. No snapshot of \S+ has all of its packs\. Where another backup has this pack, .*--restore-packs OTHER, and bring the repos from there with pachctl pull/,
      )
  }
  // One that was made of the store before, and later in the same place.
  await using young = await TestPachd.start()
  const { out } = await pachctl(young.port, 'extract', '--directory', lacking)
  const other = /^snapshot (\S+):/.exec(out)?.[1] ?? ''
  const snapshot = /^snapshot (\S+):/.exec(made.out)?.[1] ?? ''
  const named = ['--snapshot', snapshot, '--repo', 'data'] as const
  const again = ['restore', '--directory', lacking, ...named] as const
  await expect
    .poll(async () => (await pachctl(fresh.port, ...again)).err)
    .toContain(`--snapshot ${other} takes the newest one that has all of its packs, taken`)
  expect((await fresh.pfs.listRepo({})).repoInfo).toEqual([])
})

test('a check says what such a snapshot lacks, and the next backup of a store that was mended has it', async () => {
  expect(made).toMatchObject({
    code: 1,
    out: expect.stringContaining('; 1 damaged pack was left'),
    err: expect.stringContaining('is not in it: pachctl fsck --full names the files'),
  })
  const root = directory.join('mended')
  expect((await runPachd('--root', root, '--restore', whole)).code).toBe(0)
  await using source = await TestPachd.start({ root })
  const verify = ['verify-backup', '--directory', lacking] as const
  const found = await pachctl(source.port, ...verify)
  expect(found.code).toBe(1)
  expect(found.out).toMatch(
    /^damaged: packs\/\S+: it was damaged in the store .*; 1 snapshot needs/m,
  )
  expect(found.out).toMatch(/^snapshot \S+: DAMAGED; .*, 1 pack left out that was damaged/m)
  expect((await pachctl(source.port, 'extract', '--directory', lacking)).code).toBe(0)
  expect(await pachctl(source.port, ...verify)).toMatchObject({
    code: 0,
    out: expect.stringContaining('2 snapshots are whole'),
  })
})
