import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { Backup } from '../../src/backups/backup.ts'
import { snapshotKey } from '../../src/backups/format.ts'
import { DirectoryPlace } from '../../src/backups/object-store-place.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { failed } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

let directory: TemporaryDirectory
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
})
afterEach(async () => {
  await directory[Symbol.asyncDispose]()
})

function start(root: string, ...more: readonly string[]): ChildPachd {
  return new ChildPachd([...oneDoor(root), ...more])
}

/** Runs pachd without serving; the outcome of its process. */
async function offline(...args: readonly string[]) {
  await using child = new ChildPachd(args)
  return await child.exit
}

async function pachctl(port: number, ...args: readonly string[]): Promise<string> {
  const { code, out, err } = await pachctlHere(args, { port, home: directory.path })
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return out
}

/** Everything that a check of all bytes finds. */
async function damageOf({ admin }: TestClient): Promise<readonly string[]> {
  const events = await collect(admin.check({ full: true }))
  return events.flatMap(({ event }) => (event.case === 'finding' ? [event.value.what] : []))
}

/** A server with some commits of two repos, one of them open. */
async function fill(client: TestClient): Promise<{ readonly open: string }> {
  for (const name of ['one', 'two']) {
    await client.pfs.createRepo({ repo: { name } })
    for (let number = 0; number < 3; number += 1) {
      const text = Buffer.from(seededBytes(number, 300_000)).toString('base64')
      await commitFiles(client, { repo: name, branch: 'master' }, { [`f${number}`]: text })
    }
  }
  const { id } = await client.pfs.startCommit({ parent: commitOf('one', ''), branch: 'master' })
  await putFile(client, fileOf('one', id, 'staged'), 'not finished yet')
  return { open: id }
}

async function expectFilled(client: TestClient, { open }: { readonly open: string }) {
  for (const repo of ['one', 'two']) {
    const text = Buffer.from(seededBytes(2, 300_000)).toString('base64')
    expect((await getText(client, fileOf(repo, 'master', 'f2'))) === text).toBe(true)
  }
  expect(await getText(client, fileOf('one', open, 'staged'))).toBe('not finished yet')
  await client.pfs.finishCommit({ commit: commitOf('one', open) })
  expect(await getText(client, fileOf('one', 'master', 'staged'))).toBe('not finished yet')
  expect(await damageOf(client)).toEqual([])
}

const linked = [
  ['cause', 'effect'],
  ['effect', 'cause'],
] as const

test('every backup under full write load is of one instant, by what its commits say of each other', async () => {
  const [root, backup] = [directory.join('data'), directory.join('backup')]
  // Ids in the order in which each writer was told that a commit has finished.
  const told = { cause: [] as string[], effect: [] as string[] }
  const counts = () => ({ cause: told.cause.length, effect: told.effect.length })
  const taken: { snapshot: string; before: Counts; after: Counts }[] = []
  {
    await using child = start(root)
    const port = await child.ready
    await using client = new TestClient(port)
    for (const [name] of linked) await client.pfs.createRepo({ repo: { name } })
    const stop = new AbortController()
    // Each effect names a cause that was finished before it; each cause an effect.
    const write = async ([repo, other]: (typeof linked)[number]): Promise<void> => {
      for (let number = 0; !stop.signal.aborted; number += 1) {
        const head = await client.pfs
          .inspectCommit({ commit: commitOf(other, 'master') })
          .catch(() => undefined)
        const seen = head?.finished === undefined ? '' : (head.commit?.id ?? '')
        const noise = Buffer.from(seededBytes(number, 50_000)).toString('base64')
        const files = { [`n${number}`]: noise, seen }
        told[repo].push(await commitFiles(client, { repo, branch: 'master' }, files))
      }
    }
    const writing = linked.map(write)
    for (let round = 1; round <= 3; round += 1) {
      await expect.poll(() => Math.min(...Object.values(counts()))).toBeGreaterThan(4 * round)
      const before = counts()
      const out = await pachctl(port, 'extract', '--directory', backup)
      const snapshot = /^snapshot (\S+):/m.exec(out)?.[1] ?? ''
      taken.push({ snapshot, before, after: counts() })
      await collect(client.admin.collectGarbage({}))
    }
    stop.abort()
    await Promise.all(writing)
  }
  for (const { snapshot, before, after } of taken) {
    const to = directory.join(snapshot)
    const { code } = await offline('--root', to, '--restore', backup, '--snapshot', snapshot)
    expect(code).toBe(0)
    await using restored = await TestPachd.start({ root: to })
    let seenCount = 0
    for (const [repo, other] of linked) {
      const ids = await finishedIn(restored, repo)
      // All that somebody knew of when it began, nothing that was begun when it had ended, and no gap.
      expect(ids).toEqual(told[repo].slice(0, ids.length))
      expect(ids.length).toBeGreaterThanOrEqual(before[repo])
      expect(ids.length).toBeLessThanOrEqual(after[repo] + 1)
      const others = await finishedIn(restored, other)
      for (const id of ids) {
        const seen = (await getText(restored, fileOf(repo, id, 'seen'))).slice(-32)
        if (seen === '') continue
        seenCount += 1
        expect(others).toContain(seen)
      }
    }
    expect(seenCount).toBeGreaterThan(3)
    expect(await damageOf(restored)).toEqual([])
  }
})

type Counts = Readonly<Record<'cause' | 'effect', number>>

/** The finished commits of a repo, the oldest first. */
async function finishedIn(client: TestClient, repo: string): Promise<readonly string[]> {
  const { commitInfo } = await client.pfs.listCommit({ repo: { name: repo } })
  return commitInfo
    .filter(({ finished }) => finished !== undefined)
    .map(({ commit }) => commit?.id ?? '')
    .toReversed()
}

test('a backup is restored into an empty server by pachctl, which then has all, open commits too', async () => {
  const backup = directory.join('backup')
  await using source = await TestPachd.start()
  const filled = await fill(source)
  await pachctl(source.port, 'extract', '--directory', backup)
  await using child = start(directory.join('new'))
  const port = await child.ready
  expect(await pachctl(port, 'restore', '--directory', backup)).toMatch(/^restored snapshot /)
  await using client = new TestClient(port)
  await expectFilled(client, filled)
  const again = await pachctlHere(['restore', '--directory', backup], { port, home: backup })
  expect(again.code).toBe(1)
  expect(again.err).toMatch(
    /^this server has repos already, since it was restored from snapshot \S+, and a whole backup/,
  )
})

test('a restore goes on after the server was killed in the middle of it', async () => {
  const [backup, root] = [directory.join('backup'), directory.join('new')]
  await using source = await TestPachd.start()
  const filled = await fill(source)
  await pachctl(source.port, 'extract', '--directory', backup)
  await using place = DirectoryPlace.openForReading(backup)
  const opened = await Backup.open(place, { random: new SystemRandom() })
  const snapshot = await opened.find('')
  const data = await opened.read(snapshotKey(snapshot))
  let finished: object | undefined
  let missingBefore = Number.POSITIVE_INFINITY
  for (let round = 0; ; round += 1) {
    await using child = start(root)
    await using client = new TestClient(await child.ready)
    const answers = await collect(client.backups.beginRestore({ snapshot, data }))
    const missing = answers.flatMap((answer) => answer.missing)
    expect(missing.length).toBeLessThan(missingBefore)
    missingBefore = missing.length
    expect((await client.pfs.listRepo({})).repoInfo).toEqual([])
    if (missing.length === 0) {
      // Killed when it has all, and between the answer and its next start.
      finished = await client.backups.finishRestore({ snapshot })
      child.signal('SIGKILL')
      break
    }
    const sent = missing.slice(0, 3)
    async function* requests() {
      for (const key of sent) {
        const bytes = await opened.read(key)
        yield { part: { case: 'object', value: { key, sizeBytes: BigInt(bytes.length) } } } as const
        yield { part: { case: 'data', value: bytes } } as const
      }
    }
    await client.backups.putRestored(requests())
    child.signal('SIGKILL')
    expect(round).toBeLessThan(20)
  }
  expect(finished).toMatchObject({ restarting: true })
  await using restored = await TestPachd.start({ root })
  expect(await restored.backups.finishRestore({ snapshot })).toMatchObject({ restarting: false })
  await expectFilled(restored, filled)
})

test('at whatever step the server ends that puts restored metadata in their place, the next start goes on', async () => {
  const [backup, root] = [directory.join('backup'), directory.join('new')]
  await using source = await TestPachd.start()
  await source.pfs.createRepo({ repo: { name: 'one' } })
  await pachctl(source.port, 'extract', '--directory', backup)
  await offline('--root', root, '--restore', backup)
  expect((await offline('--root', root, '--restore', backup)).err).toMatch(
    /^pachd: \S+\/new has repos already, since it was restored from snapshot \S+, and .* into a new directory only: name another as --root/,
  )
  const complete = directory.join('complete')
  await rename(join(root, 'metadata.db'), complete)
  for (const left of [['metadata.db', 'metadata.db-wal'], ['metadata.db'], []]) {
    for (const name of await readdir(root)) {
      if (name.startsWith('metadata.db')) await rm(join(root, name))
    }
    // What an empty server had before.
    await using empty = await TestPachd.start({ root: directory.join(`empty${left.length}`) })
    for (const name of left) await cp(join(empty.root, name), join(root, name))
    await cp(complete, join(root, 'metadata.db.restored'))
    await mkdir(join(root, 'restore'), { recursive: true })
    await using restored = await TestPachd.start({ root })
    expect((await restored.pfs.listRepo({})).repoInfo.length).toBe(1)
    expect(await readdir(root)).not.toContain('restore')
  }
})

test('a restore is not carried out when somebody has made a repo before the server stopped', async () => {
  const [backup, root] = [directory.join('backup'), directory.join('new')]
  await using source = await TestPachd.start()
  await source.pfs.createRepo({ repo: { name: 'theirs' } })
  await pachctl(source.port, 'extract', '--directory', backup)
  await offline('--root', directory.join('other'), '--restore', backup)
  {
    await using server = await TestPachd.start({ root })
    await server.pfs.createRepo({ repo: { name: 'mine' } })
  }
  await cp(directory.join('other/metadata.db'), join(root, 'metadata.db.restored'))
  await using server = await TestPachd.start({ root })
  const { repoInfo } = await server.pfs.listRepo({})
  expect(repoInfo.map(({ repo }) => repo?.name)).toEqual(['mine'])
  expect(server.log.join('\n')).toContain('a restore was not carried out')
})

test('metadata that are lost are put together from the copy beside the packs', async () => {
  const root = directory.join('data')
  let filled: { readonly open: string }
  {
    await using server = await TestPachd.start({ root })
    filled = await fill(server)
  }
  // As the server's own copies, which it makes once in a while.
  const copy = directory.join('copy')
  {
    await using server = await TestPachd.start({ root })
    await pachctl(server.port, 'extract', '--metadata-only', '--directory', copy)
  }
  for (const name of ['backup', 'metadata', 'snapshots']) {
    await cp(join(copy, name), join(root, 'objects', name), { recursive: true })
  }
  await rm(join(root, 'metadata.db'))
  expect((await offline('--root', root)).err).toContain('--recover-metadata')
  const recovered = await offline('--root', root, '--recover-metadata')
  expect(recovered.out).toContain('what was changed since then is lost')
  expect(recovered.code).toBe(0)
  await using server = await TestPachd.start({ root })
  await expectFilled(server, filled)
})

test('packs that are lost or damaged come back from a backup, a sealed one too', async () => {
  const [root, backup, key] = [directory.join('data'), directory.join('bk'), directory.join('key')]
  await writeFile(key, 'cd'.repeat(32))
  let filled: { readonly open: string }
  {
    await using server = await TestPachd.start({ root })
    filled = await fill(server)
    const flags = ['--directory', backup, '--key-file', key]
    await pachctl(server.port, 'extract', ...flags)
  }
  const packs = join(root, 'objects', 'packs')
  const files: string[] = []
  for (const entry of await readdir(packs, { recursive: true })) {
    if (/[0-9a-f]{64}$/.test(entry)) files.push(join(packs, entry))
  }
  const [lost = '', damaged = ''] = files
  await rm(lost)
  const bytes = await readFile(damaged)
  bytes[20] = (bytes[20] ?? 0) ^ 1
  await writeFile(damaged, bytes)
  expect((await offline('--root', root, '--fsck', '--full')).code).toBe(1)
  const from = ['--restore-packs', backup, '--backup-key-file', key]
  const restored = await offline('--root', root, ...from)
  expect(restored).toMatchObject({ code: 0, err: '' })
  expect(restored.out).toContain('restored 2 of 2 packs')
  await using server = await TestPachd.start({ root })
  await expectFilled(server, filled)
})

test('the server copies its metadata beside the packs, and fsck takes them for its own', async () => {
  await using server = await TestPachd.start({ metadataCopyMinutes: 0.001 })
  await fill(server)
  const copies = join(server.root, 'objects', 'snapshots')
  await expect.poll(async () => (await readdir(copies).catch(() => [])).length).toBeGreaterThan(0)
  expect(await damageOf(server)).toEqual([])
})

test('backups are made at their times, and the oldest are forgotten', async () => {
  const [backup, secret] = [directory.join('backup'), directory.join('key')]
  await writeFile(secret, 'ab'.repeat(32))
  await using child = start(
    directory.join('data'),
    '--backup-to',
    backup,
    '--backup-every',
    '@every 1s',
    '--backup-keep',
    '2',
    '--backup-key-file',
    secret,
  )
  const port = await child.ready
  await using client = new TestClient(port)
  await client.pfs.createRepo({ repo: { name: 'one' } })
  const names = async (): Promise<readonly string[]> =>
    [...(await readdir(join(backup, 'snapshots')).catch(() => []))].toSorted((left, right) =>
      left < right ? -1 : 1,
    )
  await expect.poll(async () => (await names()).length).toBeGreaterThan(1)
  const [first = ''] = await names()
  await expect.poll(names).not.toContain(first)
  const flags = ['--directory', backup, '--key-file', secret]
  await expect
    .poll(async () => (await pachctlHere(['verify-backup', ...flags], { port, home: '/' })).code, {
      timeout: 60_000,
    })
    .toBe(0)
  // The server's own place can be named to it; another directory of its machine cannot.
  const place = {
    url: backup,
    secret: { secret: { case: 'key', value: Buffer.alloc(32, 0xab) } },
  } as const
  // What is looked at may be forgotten in its midst.
  const countListed = async (): Promise<number> =>
    (await collect(client.backups.verifyBackup({ place, list: true })).catch(() => [])).length
  await expect.poll(countListed).toBeGreaterThan(0)
  // One of its own may be under way, which is said first.
  const outside = (): Promise<unknown> =>
    collect(client.backups.extract({ place: { url: '/etc' } })).catch((error: unknown) => error)
  await expect
    .poll(outside)
    .toEqual(failed(Code.permissionDenied, 'permission-denied', 'directory of the server'))
})

test('objects that are not what their names say are refused, and a server that is not empty restores nothing', async () => {
  await using server = await TestPachd.start()
  await using source = await TestPachd.start()
  await fill(source)
  const backup = directory.join('backup')
  await pachctl(source.port, 'extract', '--directory', backup)
  const [snapshot = ''] = await readdir(join(backup, 'snapshots'))
  const data = await readFile(join(backup, 'snapshots', snapshot))
  const begin = (client: TestClient, name = snapshot, bytes: Uint8Array = data) =>
    collect(client.backups.beginRestore({ snapshot: name, data: bytes }))
  await expect(begin(source)).rejects.toEqual(
    failed(Code.failedPrecondition, 'failed-precondition', 'has repos already'),
  )
  await expect(begin(server, '../../etc/passwd')).rejects.toEqual(
    failed(Code.invalidArgument, 'invalid-argument', 'not the name of a snapshot'),
  )
  await expect(begin(server, snapshot, data.subarray(1))).rejects.toEqual(
    failed(Code.dataLoss, 'data-loss', 'not those that were stored'),
  )
  const [key = ''] = (await begin(server)).flatMap(({ missing }) => missing)
  const send = (name: string, value: Uint8Array) => {
    async function* requests() {
      await Promise.resolve()
      const object = { key: name, sizeBytes: BigInt(value.length) }
      yield { part: { case: 'object', value: object } } as const
      yield { part: { case: 'data', value } } as const
    }
    return server.backups.putRestored(requests())
  }
  await expect(send(key, Buffer.from('no pack'))).rejects.toEqual(
    failed(Code.dataLoss, 'data-loss', 'nothing has been restored'),
  )
  await expect(send(`packs/../${key}`, Buffer.from('x'))).rejects.toEqual(
    failed(Code.invalidArgument, 'invalid-argument', 'no object that a restore needs'),
  )
  await expect(server.backups.finishRestore({ snapshot })).rejects.toEqual(
    failed(Code.failedPrecondition, 'failed-precondition', 'have not come yet'),
  )
})
