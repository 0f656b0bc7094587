import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor, runPachd } from '../harness/child-pachd.ts'
import { commitFiles } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'

// One place for backups of two servers: whose a snapshot is, is said wherever one is made, named or taken.

let directory: TemporaryDirectory
let backup: string
/** One that has much, and one that was set up anew. */
let full: TestPachd
let young: TestPachd
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
  backup = directory.join('backup')
  const config = { backup: { to: backup, keepCount: 1 } }
  ;[full, young] = [await TestPachd.start(config), await TestPachd.start(config)]
  for (const name of ['one', 'two']) {
    await full.pfs.createRepo({ repo: { name } })
    await commitFiles(full, { repo: name, branch: 'master' }, { file: `of ${name}` })
  }
  await commitFiles(full, { repo: 'two', branch: 'master' }, { other: 'of two' })
  await young.pfs.createRepo({ repo: { name: 'young' } })
})
afterEach(async () => {
  await full[Symbol.asyncDispose]()
  await young[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

async function pachctl(port: number, ...args: readonly string[]) {
  return await pachctlHere(args, { port, home: directory.path })
}

const hasFull = 'of store \\w{8} with 2 repos and 3 commits'
const hasYoung = 'of store \\w{8} with 1 repo and 0 commits'
const time = '\\d{8}T\\d{6}\\.\\d{6}Z'
/** What is said where nobody has named a snapshot of the two. */
const choice = `\\S+ holds snapshots of 2 stores, and none was named: the newest comes, ${hasYoung}\n {2}--snapshot ${time} is the newest ${hasFull}\n`

async function makeBoth(...place: readonly string[]): Promise<void> {
  expect(await pachctl(full.port, 'extract', ...place)).toMatchObject({ code: 0, err: '' })
  const after = await pachctl(young.port, 'extract', ...place)
  expect(after.code).toBe(0)
  expect(after.err).toMatch(
    new RegExp(
      `^note: the newest snapshot in \\S+ was ${hasFull}, and now is this one ${hasYoung}, .*--snapshot ${time} takes the other`,
    ),
  )
  // Its own are no news.
  expect(await pachctl(young.port, 'extract', ...place)).toMatchObject({ code: 0, err: '' })
}

/** The beginning of the name of the snapshot that has much. */
async function nameOfFull(...place: readonly string[]): Promise<string> {
  const { out } = await pachctl(young.port, 'verify-backup', '--list', ...place)
  return new RegExp(`^snapshot (${time})\\S+: .* ${hasFull}$`, 'm').exec(out)?.[1] ?? 'none'
}

test.each(['--directory', '--url'])(
  'in a place that is named by %s, it is said whose snapshots are, and which one is taken',
  async (flag) => {
    const place = [flag, backup] as const
    await makeBoth(...place)
    for (const list of [['--list'], []]) {
      const { out } = await pachctl(young.port, 'verify-backup', ...place, ...list)
      expect(out.match(new RegExp(`^snapshot .* ${hasFull}$`, 'gm'))).toHaveLength(1)
      expect(out.match(new RegExp(`^snapshot .* ${hasYoung}$`, 'gm'))).toHaveLength(2)
    }
    const repo = await pachctl(full.port, 'restore', ...place, '--repo', 'young', '--dry-run')
    expect(repo.out).toMatch(
      new RegExp(`^from snapshot \\S+\n {2}taken \\S+ \\S+ UTC ${hasYoung}\n${choice}young: 0`),
    )
    const named = ['--snapshot', await nameOfFull(...place), '--repo', 'one', '--dry-run']
    const wanted = await pachctl(young.port, 'restore', ...place, ...named)
    expect(wanted.out).toMatch(
      new RegExp(`^from snapshot \\S+\n {2}taken \\S+ \\S+ UTC ${hasFull}\none: 1 commit`),
    )
  },
)

test('a restore of all says what has come, and by pachd which stores there were to choose from', async () => {
  await makeBoth('--directory', backup)
  const newest = await runPachd('--root', directory.join('new'), '--restore', backup)
  expect(newest).toMatchObject({ code: 0, err: '' })
  expect(newest.out).toMatch(
    new RegExp(
      `^${choice}restoring .*\nrestored .* from a snapshot taken \\S+ \\S+ UTC ${hasYoung};`,
    ),
  )
  const name = await nameOfFull('--directory', backup)
  const args = ['--root', directory.join('other'), '--restore', backup, '--snapshot', name]
  const run = await runPachd(...args)
  expect(run.out).toMatch(
    new RegExp(`^restoring .*\nrestored .* from a snapshot taken \\S+ \\S+ UTC ${hasFull};`),
  )
})

test.each(['--directory', '--url'])(
  'a restore of all into a server, from %s, says it, too',
  async (flag) => {
    await makeBoth('--directory', backup)
    await using child = new ChildPachd([
      ...oneDoor(directory.join('served')),
      '--backup-to',
      backup,
    ])
    const port = await child.ready
    const run = await pachctl(port, 'restore', flag, backup)
    expect(run).toMatchObject({ code: 0, err: '' })
    expect(run.out).toMatch(
      new RegExp(`^${choice}restored snapshot \\S+, taken \\S+ \\S+ UTC ${hasYoung}; pachctl fsck`),
    )
    child.signal('SIGTERM')
    await child.exit
  },
)

test('a server that makes backups by itself says in its log that the place is not its own', async () => {
  await pachctl(full.port, 'extract', '--directory', backup)
  const schedule = ['--backup-to', backup, '--backup-every', '@every 1s']
  await using child = new ChildPachd([...oneDoor(directory.join('served')), ...schedule])
  await child.ready
  await expect
    .poll(async () => (await readdir(join(backup, 'snapshots'))).length)
    .toBeGreaterThan(1)
  child.signal('SIGTERM')
  const { err } = await child.exit
  expect(err).toMatch(
    new RegExp(
      `warning another store is backed up there, too what="the newest snapshot in .* was ${hasFull}`,
    ),
  )
})
