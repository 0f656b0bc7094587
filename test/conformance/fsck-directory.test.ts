import { spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chunkIdOf } from '../../src/storage/chunk-id.ts'
import { packKey } from '../../src/storage/packs/format.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { type ChildExit, ChildPachd, pachdProgram } from '../harness/child-pachd.ts'
import { chunkFileBytes, DamagedStore, kindsOf, WholeStore } from '../harness/damaged-store.ts'
import { commitFiles } from '../harness/files.ts'
import { pachdHere } from '../harness/pachd-here.ts'
import { TestClient } from '../harness/test-pachd.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

let whole: WholeStore

beforeAll(async () => {
  whole = await WholeStore.make()
})
afterAll(async () => {
  await whole[Symbol.asyncDispose]()
})

async function run(root: string, ...flags: readonly string[]): Promise<ChildExit> {
  return await pachdHere(['--root', root, ...flags])
}

async function removeMetadata({ root }: DamagedStore): Promise<void> {
  for (const name of await readdir(root)) {
    if (name.startsWith('metadata.db')) await rm(join(root, name))
  }
}

test('pachd --fsck says what it looked at and exits with 0 when all is whole', async () => {
  const { root } = await whole.copy()
  const quick = await run(root, '--fsck')
  expect(quick).toMatchObject({ code: 0, err: '' })
  expect(quick.out).toMatch(
    /^checked .* rows, .* nodes of trees and .* chunks in .* packs\ndid not/,
  )
  expect(quick.out).toMatch(/\nno damage\n$/)
  expect((await run(root, '--fsck', '--full')).out).toMatch(
    /\nread all [\d,]+ bytes of the packs\n/,
  )
})

test('pachd --fsck tells of damage, exits with 1, and repairs when asked', async () => {
  const store = await whole.copy()
  store.sql("UPDATE repos SET size_bytes = 1 WHERE name = 'data'")
  const dry = await run(store.root, '--fsck')
  expect(dry.code).toBe(1)
  expect(dry.out).toMatch(/^ERROR repo-size-wrong: repo data is said to have 1 bytes/)
  expect(dry.out).toContain('  To repair: run fsck with --fix\n')
  expect(dry.out).toMatch(/\n1 error, 0 warnings\n$/)
  const fixed = await run(store.root, '--fsck', '--fix')
  expect(fixed.code).toBe(0)
  expect(fixed.out).toMatch(/^repaired repo-size-wrong: /)
  expect(fixed.out).toMatch(/\n0 errors, 0 warnings, 1 repaired\n$/)
  expect((await run(store.root, '--fsck')).out).toMatch(/\nno damage\n$/)
})

test('a lost version is written again from the metadata', async () => {
  const store = await whole.copy()
  const path = join(store.root, 'version')
  const before = await readFile(path, 'utf8')
  for (const lose of [async () => rm(path), async () => writeFile(path, 'nonsense')]) {
    await lose()
    const dry = await store.check()
    expect(dry.findings).toMatchObject([{ kind: { name: 'version-lost' }, repair: 'possible' }])
    const fixed = await store.check({ fix: true })
    expect(fixed.findings).toMatchObject([{ kind: { name: 'version-lost' }, repair: 'done' }])
    expect(await readFile(path, 'utf8')).toBe(before)
    expect((await store.check()).findings).toEqual([])
  }
})

test('a lost version of a killed server costs none of its last commits', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  {
    await using child = new ChildPachd(['--root', root, '--address', '127.0.0.1:0'])
    await using client = new TestClient(await child.ready)
    await client.pfs.createRepo({ repo: { name: 'r' } })
    await commitFiles(client, { repo: 'r', branch: 'master' }, { f: 'text' })
    child.signal('SIGKILL')
    await child.exit
  }
  await rm(join(root, 'version'))
  const fixed = await run(root, '--fsck', '--fix')
  expect(fixed).toMatchObject({ code: 0 })
  expect(fixed.out).toMatch(/^repaired version-lost/)
  await using child = new ChildPachd(['--root', root, '--address', '127.0.0.1:0'])
  await using client = new TestClient(await child.ready)
  expect((await client.pfs.listRepo({})).repoInfo).toHaveLength(1)
})

test('when the metadata are lost, the packs are looked at by themselves', async () => {
  const store = await whole.copy()
  const { pack, chunk } = await store.find(chunkIdOf(chunkFileBytes))
  const { pack: other } = await store.find(
    store.value("SELECT root FROM commits WHERE repo = 'copy'") as ReturnType<typeof chunkIdOf>,
  )
  await removeMetadata(store)
  expect(kindsOf(await store.check({ full: true }))).toEqual(['metadata-lost'])
  await store.flip(store.packPath(pack), chunk.offset)
  await truncate(store.packPath(other), 100)
  const { findings, counts } = await store.check({ full: true })
  expect(findings).toMatchObject([
    { kind: { name: 'metadata-lost' } },
    ...[
      { kind: { name: 'chunk-damaged' }, subject: { pack, chunk: chunk.id } },
      { kind: { name: 'pack-index-damaged' }, subject: { pack: other } },
    ].toSorted((left, right) => (left.subject.pack < right.subject.pack ? -1 : 1)),
  ])
  expect(counts.errors).toBe(3)
})

test('damaged pages of the metadata are told', async () => {
  const store = await whole.copy()
  const bytes = await readFile(store.metadata)
  const sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'commits_by_root'"
  const start = (Number(store.value(sql)) - 1) * 4096
  bytes.fill(0x5a, start, start + 4096)
  await writeFile(store.metadata, bytes)
  for (const full of [false, true]) {
    expect(kindsOf(await store.check({ full }))).toContain('metadata-damaged')
  }
})

test('a server that refuses to start says that a check can tell more', async () => {
  const store = await whole.copy()
  await removeMetadata(store)
  const started = await run(store.root, '--address', '127.0.0.1:0')
  expect(started.code).toBe(1)
  expect(started.err).toContain(`pachd --root ${store.root} --fsck says what is damaged`)
  await rm(join(store.root, 'version'))
  const again = await run(store.root, '--address', '127.0.0.1:0')
  expect(again.err).toContain(`pachd --root ${store.root} --fsck --fix`)
})

test('what is no data directory, or in use, is not checked', async () => {
  await using directory = await TemporaryDirectory.create()
  await writeFile(directory.join('letter.txt'), 'dear all')
  const foreign = await run(directory.path, '--fsck')
  expect(foreign).toMatchObject({ code: 1, out: '' })
  expect(foreign.err).toContain('is no data directory of pachd')
  expect(await readdir(directory.path)).toEqual(['letter.txt'])
  const missing = await run(directory.join('none'), '--fsck')
  expect(missing).toMatchObject({ code: 1, out: '' })
  expect(missing.err).toMatch(/^pachd: data directory \S+none: there is none, or a link above/)
  expect(await readdir(directory.path)).toEqual(['letter.txt'])

  const { root } = await whole.copy()
  await using child = new ChildPachd(['--root', root, '--address', '127.0.0.1:0'])
  await child.ready
  const inUse = await run(root, '--fsck')
  expect(inUse).toMatchObject({ code: 1, out: '' })
  expect(inUse.err).toContain('a server that runs is checked by pachctl fsck')
})

test('a snapshot that cannot be written is checked where it is', async (context) => {
  const { root } = await whole.copy()
  const mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
  const inSnapshot = (command: string, ...flags: readonly string[]): SpawnSyncReturns<string> =>
    spawnSync('unshare', ['-rm', 'sh', '-c', `${mount} && ${command}`, 'sh', root, ...flags], {
      encoding: 'utf8',
    })
  if (inSnapshot('true').status !== 0) {
    leaveOut(context, 'this machine lets us mount nothing')
  }
  const check = (...flags: readonly string[]): SpawnSyncReturns<string> =>
    inSnapshot('root=$1; shift; exec "$@"', pachdProgram, '--root', root, '--fsck', ...flags)
  const before = (await readdir(root)).toSorted()
  const found = check('--full')
  expect(found).toMatchObject({ status: 0, stderr: '' })
  expect(found.stdout).toMatch(/\nno damage\n$/)
  expect(check('--fix')).toMatchObject({
    status: 1,
    stdout: '',
    stderr: expect.stringContaining('cannot be written, so nothing can be put right') as string,
  })
  expect((await readdir(root)).toSorted()).toEqual(before)
  const { pack } = await new DamagedStore(root).find(chunkIdOf(chunkFileBytes))
  await rm(join(root, 'objects', packKey(pack)))
  expect(check().stdout).toMatch(/^ERROR pack-missing/)
  expect((await readdir(tmpdir())).filter((name) => name.startsWith('pachd-metadata-'))).toEqual([])
})

test.each([
  ['nobody reads', '"$@" | true; exit ${PIPESTATUS[0]}'],
  ['goes to a full disk', '"$@" > /dev/full'],
])(
  'a check whose output %s ends in good order, and says that all is not well',
  async (_what, script) => {
    const store = await whole.copy()
    store.sql("UPDATE repos SET size_bytes = 1 WHERE name = 'data'")
    const ended = spawnSync(
      'bash',
      ['-c', script, 'bash', pachdProgram, '--root', store.root, '--fsck'],
      { encoding: 'utf8' },
    )
    expect(ended.status).toBe(1)
    expect(ended.stderr).not.toMatch(/at .*\.ts|bug/)
    expect(ended.stderr.split('\n').length).toBeLessThanOrEqual(2)
  },
)

test('--full and --fix without --fsck are refused', async () => {
  for (const flag of ['--full', '--fix']) {
    expect(await run('/nowhere', flag)).toMatchObject({
      code: 2,
      err: expect.stringContaining(`${flag} goes with --fsck`) as string,
    })
  }
})
