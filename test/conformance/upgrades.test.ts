import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, type ChildExit, oneDoor } from '../harness/child-pachd.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
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
  work: (client: TestClient) => Promise<void>,
): Promise<ChildExit> {
  await using child = new ChildPachd(
    [...oneDoor(root), '--executor', 'process'],
    program === 'old' ? { program: before.pachd } : {},
  )
  {
    await using client = new TestClient(await child.ready)
    await work(client)
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
        /^(would bring \w+ from version \d+ to \d+, \d+ steps?\n)+tried on a copy: all steps fit, in [\d.]+ s; nothing has changed\n$/,
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
    expect(await migrate(root, '--undo')).toMatch(/Now start the release that ran before\n$/)
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
