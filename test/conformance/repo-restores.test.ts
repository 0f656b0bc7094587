import { readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Backup } from '../../src/backups/backup.ts'
import { parseSnapshotName, snapshotKey } from '../../src/backups/format.ts'
import { DirectoryPlace } from '../../src/backups/object-store-place.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { runPachd } from '../harness/child-pachd.ts'
import { failed } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let directory: TemporaryDirectory
let pachd: TestPachd
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
  pachd = await TestPachd.start({ root: directory.join('data') })
})
afterEach(async () => {
  await pachd[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

async function pachctl(port: number, ...args: readonly string[]) {
  return await pachctlHere(args, { port, home: directory.path })
}

async function makeRepo(name: string, seed: number): Promise<void> {
  await pachd.pfs.createRepo({ repo: { name }, description: `about ${name}` })
  for (const number of [seed, seed + 1]) {
    const text = Buffer.from(seededBytes(number, 300_000)).toString('base64')
    await commitFiles(pachd, { repo: name, branch: 'master' }, { [`f${number}`]: text })
  }
  await pachd.commits.tagCommit({ commit: commitOf(name, 'master'), tag: 'good' })
}

async function commitsOf({ pfs }: TestPachd, repo: string) {
  const { commitInfo } = await pfs.listCommit({ repo: { name: repo } })
  return commitInfo
}

async function makeBackup(): Promise<string> {
  const backup = directory.join('backup')
  await makeRepo('one', 1)
  expect(await pachctl(pachd.port, 'extract', '--directory', backup)).toMatchObject({
    code: 0,
  })
  await makeRepo('two', 3)
  expect(await pachctl(pachd.port, 'extract', '--directory', backup)).toMatchObject({
    code: 0,
  })
  return backup
}

async function packsIn(backup: string): Promise<readonly string[]> {
  const names = await readdir(join(backup, 'packs'), { recursive: true })
  return names.filter((name) => /\w{64}$/.test(name))
}

async function damageOf({ admin }: TestPachd) {
  const events = await collect(admin.check({ full: true }))
  return events.filter(({ event }) => event.case === 'finding')
}

test('a repo that was deleted comes back from a backup, beside what is there', async () => {
  const backup = await makeBackup()
  const before = await commitsOf(pachd, 'two')
  await pachd.pfs.deleteRepo({ repo: { name: 'two' }, force: true })
  await collect(pachd.admin.collectGarbage({}))
  const args = ['restore', '--directory', backup, '--repo', 'two'] as const
  const dry = await pachctl(pachd.port, ...args, '--dry-run')
  expect(dry.out).toContain('two: 2 commits would be restored, to master, tagged good\n')
  expect((await pachd.pfs.listRepo({})).repoInfo.length).toBe(1)
  const run = await pachctl(pachd.port, ...args)
  expect(run).toMatchObject({ code: 0, err: '' })
  expect(run.out).toMatch(
    /^from snapshot \S+\n {2}taken \S+ \S+ UTC of store \w{8} with 2 repos and 4 commits\ntwo: 2 commits restored, to master, tagged good, [1-9]\S+ of files that were not here\n$/,
  )
  expect(await commitsOf(pachd, 'two')).toEqual(before)
  const info = await pachd.pfs.inspectRepo({ repo: { name: 'two' } })
  expect(info.description).toBe('about two')
  const text = Buffer.from(seededBytes(4, 300_000)).toString('base64')
  expect((await getText(pachd, fileOf('two', 'master', 'f4'))) === text).toBe(true)
  expect(await damageOf(pachd)).toEqual([])
  expect(await readdir(directory.join('data'))).not.toContain('restore-repos')
  // Whose packs are still there.
  await pachd.pfs.deleteRepo({ repo: { name: 'two' }, force: true })
  expect((await pachctl(pachd.port, ...args)).out).toMatch(/, 0B of files that were not here\n$/)
  const again = await pachctl(pachd.port, ...args)
  expect(again.out).toContain('two: 0 commits restored, no branch moved')
  const none = await pachctl(pachd.port, 'restore', '--directory', backup, '--repo', 'three')
  expect(none.err).toMatch(/^snapshot \S+ has no repo three\n$/)
  expect(await readdir(directory.join('data'))).not.toContain('restore-repos')
})

test('commits that no branch leads to come back, too, with what they are made from', async () => {
  await makeRepo('two', 3)
  const [, parent] = (await commitsOf(pachd, 'two')).map(({ commit }) => commit?.id ?? '')
  for (const number of [1, 2]) {
    await commitFiles(pachd, { repo: 'two', branch: 'side' }, { [`side${number}`]: `s${number}` })
  }
  await commitFiles(pachd, { repo: 'two', branch: 'master' }, { back: 'b' })
  await pachd.pfs.setBranch({ commit: commitOf('two', parent ?? ''), branch: 'master' })
  await pachd.pfs.deleteBranch({ repo: { name: 'two' }, branch: 'side' })
  const { id: open } = await pachd.pfs.startCommit({ parent: commitOf('two', ''), branch: 'open' })
  const before = (await commitsOf(pachd, 'two')).filter(({ commit }) => commit?.id !== open)
  expect(before.length).toBe(5)
  const backup = directory.join('backup')
  await pachctl(pachd.port, 'extract', '--directory', backup)
  await pachd.pfs.deleteRepo({ repo: { name: 'two' }, force: true })
  await collect(pachd.admin.collectGarbage({}))
  const args = ['restore', '--directory', backup, '--repo', 'two'] as const
  const dry = await pachctl(pachd.port, ...args, '--dry-run')
  expect(dry.out).toContain('two: 5 commits would be restored, to master, tagged good\n')
  expect((await pachctl(pachd.port, ...args)).out).toContain('two: 5 commits restored')
  expect(await commitsOf(pachd, 'two')).toEqual(before)
  expect(await damageOf(pachd)).toEqual([])
  expect((await pachctl(pachd.port, ...args)).out).toContain('two: 0 commits restored')
})

test('branches that went on stay, those that went back move on, and two ways are told of', async () => {
  const backup = await makeBackup()
  const [head, parent] = (await commitsOf(pachd, 'one')).map(({ commit }) => commit?.id ?? '')
  const restore = async () =>
    await pachctl(pachd.port, 'restore', '--directory', backup, '--repo', 'one', '--repo', 'two')
  await commitFiles(pachd, { repo: 'two', branch: 'master' }, { later: 'l' })
  await pachd.pfs.setBranch({ commit: commitOf('one', parent ?? ''), branch: 'master' })
  const run = await restore()
  expect(run.out).toContain('one: 0 commits restored, to master')
  expect(run.out).toContain(
    'two: 0 commits restored, no branch moved, 0B of files; master has more here',
  )
  const { branchInfo } = await pachd.pfs.listBranch({ repo: { name: 'one' } })
  expect(branchInfo[0]?.head?.id).toBe(head)
  await pachd.pfs.setBranch({ commit: commitOf('one', parent ?? ''), branch: 'master' })
  await commitFiles(pachd, { repo: 'one', branch: 'master' }, { mine: 'm' })
  const apart = await restore()
  expect(apart.code).toBe(1)
  expect(apart.err).toContain('branch master of one has gone another way here than there')
})

test('only what is needed is read, of an encrypted backup, too, and of one that the server reads', async () => {
  const key = directory.join('key')
  await writeFile(key, `${'ab'.repeat(32)}\n`)
  const backup = directory.join('backup')
  const extract = ['extract', '--directory', backup, '--key-file', key] as const
  await makeRepo('one', 1)
  expect(await pachctl(pachd.port, ...extract)).toMatchObject({ code: 0 })
  const unneeded = await packsIn(backup)
  await makeRepo('two', 3)
  expect(await pachctl(pachd.port, ...extract)).toMatchObject({ code: 0 })
  expect((await packsIn(backup)).length).toBeGreaterThan(unneeded.length)
  for (const name of unneeded) await rm(join(backup, 'packs', name))
  const expected = await commitsOf(pachd, 'two')
  await using fresh = await TestPachd.start({ backup: { to: backup, keepCount: 1 } })
  const args = ['--key-file', key, '--repo', 'two'] as const
  const from = ['--url', backup] as const
  expect(await pachctl(fresh.port, 'restore', ...from, ...args)).toMatchObject({ code: 0, err: '' })
  expect(await commitsOf(fresh, 'two')).toEqual(expected)
  await fresh.pfs.deleteRepo({ repo: { name: 'two' }, force: true })
  const directly = ['--directory', backup] as const
  expect(await pachctl(fresh.port, 'restore', ...directly, ...args)).toMatchObject({ code: 0 })
  expect(await commitsOf(fresh, 'two')).toEqual(expected)
  expect((await fresh.pfs.listRepo({})).repoInfo.length).toBe(1)
})

test('a repo that is here is said to stay, with what brings its packs where they are lost', async () => {
  const backup = await makeBackup()
  const root = directory.join('data')
  await pachd[Symbol.asyncDispose]()
  await rm(join(root, 'objects', 'packs'), { recursive: true })
  {
    await using lost = await TestPachd.start({ root })
    await expect(getText(lost, fileOf('two', 'master', 'f3'))).rejects.toThrow('no pack holds it')
    const run = await pachctl(lost.port, 'restore', '--directory', backup, '--repo', 'two')
    expect(run).toMatchObject({ code: 0, err: '' })
    expect(run.out).toContain('two: 0 commits restored, no branch moved')
    expect(run.out).toMatch(
      /^what is here already stays as it is, .*pachd --root DIR --restore-packs (\S+)$/m,
    )
    expect(run.out.endsWith(` --restore-packs ${backup}\n`)).toBe(true)
  }
  const mended = await runPachd('--root', root, '--restore-packs', backup)
  expect(mended).toMatchObject({ code: 0, err: '' })
  pachd = await TestPachd.start({ root })
  expect(await getText(pachd, fileOf('two', 'master', 'f3'))).not.toBe('')
})

test('a restore that stopped goes on with what has not come, and shows nothing before', async () => {
  const path = await makeBackup()
  await using place = await DirectoryPlace.open(path)
  const backup = await Backup.open(place, { random: new SystemRandom() })
  const snapshot = await backup.find('')
  const data = await backup.read(snapshotKey(parseSnapshotName(snapshot)))
  const root = directory.join('fresh')
  const asked: string[] = []
  let isStopped = false
  for (let stopAfter = 1; !isStopped; stopAfter += 1) {
    // As after a crash, nothing is left of the server but its directory.
    await using fresh = await TestPachd.start({ root })
    expect((await fresh.pfs.listRepo({})).repoInfo).toEqual([])
    let count = 0
    isStopped = true
    const request = { snapshot, data, repos: ['one', 'two'] }
    for await (const { event } of fresh.backups.restoreRepos(request)) {
      if (event.case !== 'wanted') continue
      const { id, key } = event.value
      if (count === 3) {
        isStopped = false
        break
      }
      count += 1
      asked.push(key)
      const bytes = await backup.read(key)
      await fresh.backups.answerRestore(
        (async function* parts() {
          yield { part: { case: 'wanted', value: id } } as const
          yield { part: { case: 'data', value: bytes } } as const
        })(),
      )
    }
    expect((await fresh.pfs.listRepo({})).repoInfo.length).toBe(isStopped ? 2 : 0)
    expect(stopAfter).toBeLessThan(20)
  }
  expect(asked.length).toBeGreaterThan(2)
  expect(new Set(asked).size).toBe(asked.length)
})

test('an object that is lost or another one is named, and nothing changes', async () => {
  const backup = await makeBackup()
  await pachd.pfs.deleteRepo({ repo: { name: 'two' }, force: true })
  await collect(pachd.admin.collectGarbage({}))
  for (const name of await packsIn(backup))
    await rename(join(backup, 'packs', name), directory.join(name.slice(-64)))
  const run = await pachctl(pachd.port, 'restore', '--directory', backup, '--repo', 'two')
  expect(run.code).toBe(1)
  expect(run.err).toMatch(
    /^the backup lacks packs\/\w\w\/\w{64}, which these repos need of snapshot \S+; nothing has been restored\. No snapshot of \S+ has all of its packs\. .*--restore-packs OTHER, and bring the repos from there with pachctl pull/,
  )
  expect((await pachd.pfs.listRepo({})).repoInfo.length).toBe(1)
  await rm(join(backup, 'backup'))
  const gone = await pachctl(pachd.port, 'restore', '--directory', backup, '--repo', 'two')
  expect(gone.code).toBe(1)
  const request = { snapshot: '', data: Uint8Array.of(1), repos: ['a'] }
  const reason = () =>
    collect(pachd.backups.restoreRepos(request)).then(
      () => '',
      (error: unknown) => (error instanceof Error ? error.message : ''),
    )
  // The one before may not have ended on the other side.
  await expect.poll(reason).toContain('not the name of a snapshot')
  await expect(collect(pachd.backups.restoreRepos({}))).rejects.toEqual(
    failed(Code.invalidArgument, 'invalid-argument', 'name the repos'),
  )
})
