import { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { type ChildExit, ChildPachd } from '../harness/child-pachd.ts'
import { pachdHere } from '../harness/pachd-here.ts'
import { TestClient } from '../harness/test-pachd.ts'

let directory: TemporaryDirectory
let killed: string
/** Has a repo, in the log alone, as a killed server leaves it. */
beforeAll(async () => {
  directory = await TemporaryDirectory.create()
  killed = directory.join('killed')
  await makeKilled(killed)
})
afterAll(async () => {
  await directory[Symbol.asyncDispose]()
})

async function makeKilled(root: string): Promise<void> {
  await using child = new ChildPachd(argsFor(root))
  await using client = new TestClient(await child.ready)
  await client.pfs.createRepo({ repo: { name: 'r' } })
  child.signal('SIGKILL')
  await child.exit
}

function argsFor(root: string): readonly string[] {
  return ['--root', root, '--address', '127.0.0.1:0']
}

async function copyOf(source: string, name: string): Promise<string> {
  const root = directory.join(name)
  await cp(source, root, { recursive: true })
  return root
}

async function failToStart(root: string): Promise<ChildExit> {
  return await pachdHere(argsFor(root))
}

async function repoCount(root: string): Promise<number> {
  let count = -1
  await pachdHere(argsFor(root), async (port) => {
    await using client = new TestClient(port)
    count = (await client.pfs.listRepo({})).repoInfo.length
  })
  return count
}

async function removeMetadata(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (name.startsWith('metadata.db')) await rm(join(root, name))
  }
}

async function emptyMetadata(root: string): Promise<void> {
  await removeMetadata(root)
  await writeFile(join(root, 'metadata.db'), '')
}

async function exchangeMetadata(root: string): Promise<void> {
  await removeMetadata(root)
  const other = directory.join('other')
  await makeKilled(other)
  for (const name of await readdir(other)) {
    if (name.startsWith('metadata.db')) await cp(join(other, name), join(root, name))
  }
}

test.each([
  ['deleted', removeMetadata, /is missing, but this data directory has been in use/],
  ['emptied', emptyMetadata, /is empty, but this data directory has been in use/],
  ['exchanged', exchangeMetadata, /belongs to another data directory/],
  [
    'without its log',
    async (root: string) => rm(join(root, 'metadata.db-wal')),
    /metadata\.db-wal is missing, and with it the last commits/,
  ],
])('metadata that was %s is no empty store', async (what, lose, message) => {
  const root = await copyOf(killed, what.replaceAll(' ', '-'))
  await lose(root)
  const { code, out, err } = await failToStart(root)
  expect([code, out]).toEqual([1, ''])
  expect(err).toMatch(message)
  expect(err).toMatch(/restore a backup/i)
  expect(err.trimEnd()).not.toContain('\n')
})

test('a lost log may be given up', async () => {
  const root = await copyOf(killed, 'given-up')
  await rm(join(root, 'metadata.db-wal'))
  await rm(join(root, 'metadata.db-open'))
  expect(await repoCount(root)).toBe(0)
})

test.each([
  ['emptied', 0],
  ['cut short', 0.5],
])('a log that was %s after the server was killed is noticed', async (what, part) => {
  const root = directory.join(`log-${what.replace(' ', '-')}`)
  const mark = join(root, 'metadata.db-open')
  {
    await using child = new ChildPachd(argsFor(root))
    await using client = new TestClient(await child.ready)
    await client.pfs.createRepo({ repo: { name: 'r' } })
    // Written behind the caller's back, so that nobody waits for it.
    await expect.poll(async () => readFile(mark, 'latin1')).toMatch(/^events 0*1\n$/)
    child.signal('SIGKILL')
    await child.exit
  }
  const intact = await copyOf(root, `intact-${what.replace(' ', '-')}`)
  const log = join(root, 'metadata.db-wal')
  await truncate(log, Math.floor((await stat(log)).size * part))
  const { code, out, err } = await failToStart(root)
  expect([code, out]).toEqual([1, ''])
  expect(err).toMatch(/metadata\.db-wal was cut short or damaged/)
  const left = await readFile(log)
  expect((await failToStart(root)).code).toBe(1)
  {
    const found = await pachdHere(['--root', root, '--fsck'])
    expect(found.code).toBe(1)
    expect(found.out).toMatch(/^ERROR metadata-lost: .*metadata\.db-wal was cut short or damaged/)
  }
  expect(await readFile(log)).toEqual(left)
  await rm(mark)
  expect(await repoCount(root)).toBe(0)
  expect(await repoCount(intact)).toBe(1)
})

test('of a log that was damaged in its middle a copy is kept, and said where', async () => {
  const root = await copyOf(killed, 'log-damaged')
  await rm(join(root, 'metadata.db-open'), { force: true })
  const log = join(root, 'metadata.db-wal')
  const bytes = await readFile(log)
  // Such as a sector that the disk has lost.
  bytes.fill(0, 32 + 24, 32 + 24 + 512)
  await writeFile(log, bytes)
  const { out } = await pachdHere(['--root', root, '--fsck'])
  expect(out).toMatch(/^warning log-damaged: .*a copy of it was kept: .*\.damaged-\w+$/m)
  const [copy = ''] = (await readdir(root)).filter((name) => name.includes('.damaged-'))
  expect(await readFile(join(root, copy))).toEqual(bytes)
  expect(await repoCount(root)).toBe(0)
  expect(await readdir(root)).toContain(copy)
})

test('a killed server and a stopped one find everything again', async () => {
  const root = await copyOf(killed, 'intact')
  expect(await repoCount(root)).toBe(1)
  const names = (await readdir(root)).filter((name) => name.startsWith('metadata.db'))
  expect(names.toSorted()).toEqual(['metadata.db', 'metadata.db-reserve'])
  expect(await repoCount(root)).toBe(1)
})

// Each state that a kill before the end of the first start may leave.
test.each<[string, (root: string) => Promise<void>]>([
  ['the lock exists', async (root) => removeMetadata(root)],
  ['the database is empty', emptyMetadata],
  ['the database is complete', async () => {}],
  ['the version is being written', async (root) => writeFile(join(root, 'version.draft'), 'pa')],
])('a first start that was killed when %s is begun again', async (what, arrange) => {
  const root = await copyOf(killed, `first-${what.replaceAll(' ', '-')}`)
  for (const name of ['version', 'objects', 'scratch']) {
    await rm(join(root, name), { recursive: true, force: true })
  }
  await arrange(root)
  await repoCount(root)
  expect(await repoCount(root)).toBeLessThanOrEqual(1)
})

test.each(['objects', 'scratch', 'version', 'metadata.db', 'lock.db'])(
  'something of another kind in the place of %s is said in one line',
  async (name) => {
    const root = await copyOf(killed, `kind-of-${name}`)
    await rm(join(root, name), { recursive: true, force: true })
    if (name === 'objects' || name === 'scratch') await writeFile(join(root, name), '')
    else await cp(join(killed, 'objects'), join(root, name), { recursive: true })
    const { code, out, err } = await failToStart(root)
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/^pachd: .*\n$/)
    expect(err).toContain(join(root, name))
  },
)
