import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, type ChildExit, oneDoor } from '../harness/child-pachd.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { pachdHere } from '../harness/pachd-here.ts'
import { ReleaseBefore } from '../harness/release-before.ts'
import { TestClient } from '../harness/test-pachd.ts'

let before: ReleaseBefore

beforeAll(async () => {
  before = await ReleaseBefore.unpack()
})

afterAll(async () => {
  await before[Symbol.asyncDispose]()
})

type Program = 'old' | 'new'

/** Has one of the two releases serve `root` while `work` runs. */
async function serve(
  program: Program,
  root: string,
  work: (client: TestClient, port: number) => Promise<void>,
): Promise<ChildExit> {
  await using child = new ChildPachd(
    [...oneDoor(root), '--executor', 'process'],
    program === 'old' ? { program: before.pachd } : {},
  )
  {
    const port = await child.ready
    await using client = new TestClient(port)
    await work(client, port)
  }
  child.signal('SIGTERM')
  return await child.exit
}

async function migrate(root: string, ...flags: readonly string[]): Promise<string> {
  const args = ['migrate', '--root', root, ...flags]
  const { code, out, err } = await pachctlHere(args, { port: 1, home: '/' })
  if (code !== 0) throw new Error(err)
  return out
}

/** What the tables hold, whatever order their rows and pages are in. */
function rowsOf(metadata: string): Readonly<Record<string, readonly string[]>> {
  using database = new DatabaseSync(metadata, { readOnly: true })
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()
  return Object.fromEntries(
    tables.map(({ name }) => {
      const rows = database.prepare(`SELECT * FROM "${String(name)}"`).all()
      const texts = rows.map((row) =>
        JSON.stringify(row, (_key, value: unknown) =>
          value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
        ),
      )
      return [String(name), texts.toSorted()]
    }),
  )
}

const large = 'x'.repeat(300_000)
const masterOfData = { repo: 'data', branch: 'master' }

async function writeWithOld(client: TestClient): Promise<void> {
  for (const name of ['data', 'gone']) await client.pfs.createRepo({ repo: { name } })
  await commitFiles(client, masterOfData, { a: 'one', large })
  await commitFiles(client, { repo: 'gone', branch: 'master' }, { of: 'what goes' })
  await client.pps.createPipeline({
    pipeline: { name: 'copied' },
    transform: { cmd: ['sh'], stdin: ['cp /pfs/data/* /pfs/out/'] },
    inputs: [{ repo: { name: 'data' }, branch: 'master', glob: '/*' }],
  })
  await collect(client.pfs.flushCommit({ commits: [commitOf('data', 'master')] }))
  await client.pfs.startCommit({ parent: commitOf('data', ''), branch: 'open' })
  await putFile(client, fileOf('data', 'open', 'staged'), 'not finished')
  await expectOld(client)
}

/** What the old release wrote, whoever reads it. */
async function expectOld(client: TestClient): Promise<void> {
  expect(await getText(client, fileOf('data', 'open', 'staged'))).toBe('not finished')
  expect(await getText(client, fileOf('copied', 'master', 'a'))).toBe('one')
  expect(await getText(client, fileOf('copied', 'master', 'large'))).toBe(large)
  const { jobInfo } = await client.pps.listJob({ pipeline: { name: 'copied' } })
  expect(jobInfo.at(-1)).toMatchObject({ dataProcessed: 2n, dataTotal: 2n })
}

/** Moves all that is stored into other packs, too, since most of what was in them is deleted. */
async function writeWithNew(client: TestClient): Promise<void> {
  await commitFiles(client, masterOfData, { b: 'two' })
  await collect(client.pfs.flushCommit({ commits: [commitOf('data', 'master')] }))
  expect(await getText(client, fileOf('copied', 'master', 'b'))).toBe('two')
  // Datums of the old release are not processed again.
  const { jobInfo } = await client.pps.listJob({ pipeline: { name: 'copied' } })
  expect(jobInfo[0]).toMatchObject({ dataProcessed: 1n, dataSkipped: 2n })
  await client.pfs.deleteRepo({ repo: { name: 'gone' } })
  await collect(client.admin.collectGarbage({}))
}

/** But for what the new release was told to delete, and whose space it has freed. */
async function expectWhole(client: TestClient): Promise<void> {
  const events = await collect(client.admin.check({ full: true }))
  const affected = events.flatMap(({ event }) =>
    event.case === 'finding' ? event.value.affected : [],
  )
  expect(affected.filter((place) => !place.startsWith('gone@'))).toEqual([])
}

async function migrateAhead(root: string): Promise<void> {
  expect(await migrate(root)).toMatch(
    /^what there was before is in \S+metadata\.db\.backup-\S+\n(brought \w+ from version .*\n)+\S+ is ready for release /,
  )
  expect(await migrate(root)).toMatch(/there is nothing to do\n$/)
}

async function packsIn(root: string): Promise<readonly string[]> {
  const names = await readdir(join(root, 'objects/packs'), { recursive: true })
  return names.filter((name) => name.includes('/')).toSorted()
}

test.each(['at start', 'ahead of time'])(
  'what the release before wrote is upgraded %s, written on, and gone back from with that release',
  async (when) => {
    await using temporary = await TemporaryDirectory.create()
    const root = temporary.join('data')
    const metadata = join(root, 'metadata.db')
    await serve('old', root, async (client) => {
      await writeWithOld(client)
      // While it serves.
      expect(await migrate(root, '--dry-run')).toMatch(
        /^(would bring \w+ from version \d+ to \d+, \d+ steps?\n)+it takes up to .* are free\ntried on a copy: all steps fit, in [\d.]+ s; nothing has changed\n$/,
      )
      await expect(migrate(root)).rejects.toThrow('another server is running')
    })
    const written = rowsOf(metadata)
    const oldPacks = await packsIn(root)
    if (when === 'ahead of time') await migrateAhead(root)
    const upgraded = await serve('new', root, async (client) => {
      await expectOld(client)
      await writeWithNew(client)
    })
    const told = / copy=(\S+metadata\.db\.backup-\S+) /.exec(upgraded.err)?.[1]
    const name = (await readdir(root)).find((file) => file.startsWith('metadata.db.backup-')) ?? ''
    const copy = join(root, name)
    expect(told).toBe(when === 'at start' ? copy : undefined)
    expect(rowsOf(copy)).toEqual(written)
    const packs = new Set(await packsIn(root))
    expect(oldPacks.filter((pack) => !packs.has(pack))).not.toEqual([])

    await using refused = new ChildPachd(oneDoor(root), { program: before.pachd })
    expect(await refused.exit).toMatchObject({
      code: 1,
      err: expect.stringMatching(/use release \S+ or newer, or restore the backup/) as string,
    })
    expect(await migrate(root, '--undo')).toMatch(
      /^moved metadata\.db.* aside: with no server running, their former names bring them back\n[^]*Now start the release that ran before\n$/,
    )
    await serve('old', root, async (client) => {
      await expectOld(client)
      await expect(getText(client, fileOf('data', 'master', 'b'))).rejects.toThrow('not found')
      await commitFiles(client, masterOfData, { c: 'three' })
    })
    await expect(migrate(root, '--undo')).rejects.toThrow('there is nothing to go back from')
    await serve('new', root, async (client) => {
      await expectOld(client)
      expect(await getText(client, fileOf('data', 'master', 'c'))).toBe('three')
      await expectWhole(client)
    })
  },
)

test('what looks at what the release before wrote, without a server, leaves it to that release', async () => {
  await using temporary = await TemporaryDirectory.create()
  const [root, backup] = [temporary.join('data'), temporary.join('backup')]
  const metadata = join(root, 'metadata.db')
  await serve('old', root, async (client, port) => {
    await writeWithOld(client)
    const extracted = await pachctlHere(['extract', '--directory', backup], { port, home: '/' })
    expect(extracted).toMatchObject({ code: 0 })
  })
  const written = await readFile(metadata)
  const named = async (): Promise<readonly string[]> =>
    (await readdir(root, { recursive: true })).filter((name) => !/-(wal|shm)$/.test(name))
  const names = (await named()).toSorted()
  const run = async (...flags: readonly string[]): Promise<ChildExit> => {
    const exit = await pachdHere(['--root', root, ...flags])
    expect(await readFile(metadata)).toEqual(written)
    return exit
  }
  const [pack = ''] = await packsIn(root)
  await rm(join(root, 'objects/packs', pack))
  const damaged = await run('--fsck', '--full')
  expect(damaged).toMatchObject({ code: 1, err: '' })
  expect(damaged.out).toMatch(/^ERROR pack-missing: /)
  const repair = await run('--fsck', '--fix')
  expect(repair).toMatchObject({ code: 1, out: '' })
  expect(repair.err).toContain(`first run pachctl migrate --root ${root}, which keeps a way back`)
  expect((await run('--restore', backup)).err).toContain('has repos already')
  const restored = await run('--restore-packs', backup)
  expect(restored.out).toBe('restored 1 of 1 packs that were missing or damaged\n')
  expect(await run('--fsck', '--full')).toMatchObject({
    code: 0,
    out: expect.stringMatching(/\nno damage\n$/) as string,
  })
  expect((await named()).toSorted()).toEqual(names)
  await serve('old', root, expectOld)
})

test('flags of old clusters and of data directories of ours are kept apart', async () => {
  const where = { port: 1, home: '/' }
  for (const [flags, told] of [
    [['--root', '/d', '--from', '1.4.8'], '--from is of old clusters: give one of the two'],
    [['--root', '/d', '--force'], '--force is of old clusters: give one of the two'],
    [['--root', '/d', '--dry-run', '--undo'], 'leave out --undo'],
    [['--undo'], '--undo goes with --root'],
  ] as const) {
    const run = await pachctlHere(['migrate', ...flags], where)
    expect(run).toMatchObject({ code: 1, err: expect.stringContaining(told) as string })
  }
})
