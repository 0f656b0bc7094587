import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ArchivePlace } from '../../src/backups/archive.ts'
import { Backup } from '../../src/backups/backup.ts'
import { backupVersion } from '../../src/backups/format.ts'
import { parsePassphrase } from '../../src/backups/sealing.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { migrations } from '../../src/server/migrations.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'

// Every stored format of every release stays readable: for each, a backup that it wrote is kept, which are
// the test vectors of docs/formats/backups.md. What is
// recorded of a release that is out never changes; UPDATE_FORMATS=1 records those of the one in package.json.

const directory = fileURLToPath(new URL('../fixtures/backups/', import.meta.url))
const recordPath = join(directory, 'formats.json')
const isUpdate = process.env['UPDATE_FORMATS'] === '1'
const passphrase = 'fixture of every release'

/** By layer, the hash of each step of its tables. */
interface Formats {
  readonly backups: number
  readonly layers: Readonly<Record<string, readonly string[]>>
}

const formatsNow: Formats = {
  backups: backupVersion,
  layers: Object.fromEntries(
    migrations.map(({ layer, steps }) => [
      layer,
      steps.map((statements) =>
        createHash('sha256').update(JSON.stringify(statements)).digest('hex').slice(0, 16),
      ),
    ]),
  ),
}

const howTo =
  'the stored formats are not those that are recorded. If the version in package.json is out already, raise it first. Never change a step of a release, append one; describe what is new in docs/formats/; then UPDATE_FORMATS=1 tools/node node_modules/vitest/vitest.mjs run test/conformance/stored-formats.test.ts writes the record and a backup of this version: commit both'

async function releaseNow(): Promise<string> {
  const path = fileURLToPath(new URL('../../package.json', import.meta.url))
  return (JSON.parse(await readFile(path, 'utf8')) as { readonly version: string }).version
}

async function recorded(): Promise<Readonly<Record<string, Formats>>> {
  const text = await readFile(recordPath, 'utf8').catch(() => '{}')
  return JSON.parse(text) as Readonly<Record<string, Formats>>
}

const open = 'staged, and not finished'

/** A little of everything that a release keeps. */
async function writeFixture(release: string): Promise<void> {
  await using server = await TestPachd.start()
  for (const name of ['made', 'from']) {
    await server.pfs.createRepo({ repo: { name }, description: `repo ${name}` })
    await commitFiles(server, { repo: name, branch: 'master' }, { 'a/first': 'one', same: name })
    await commitFiles(server, { repo: name, branch: 'master' }, { 'a/second': 'x'.repeat(100_000) })
  }
  const { id } = await server.pfs.startCommit({ parent: commitOf('made', ''), branch: 'master' })
  await putFile(server, fileOf('made', id, 'open'), open)
  await server.commits.tagCommit({ commit: commitOf('from', 'master'), tag: 'v1' })
  await server.pps.createPipeline({
    pipeline: { name: 'copied' },
    transform: { cmd: ['cp', '/pfs/from/a/first', '/pfs/out/copied'] },
    inputs: [{ repo: { name: 'from' }, branch: 'master', glob: '/' }],
  })
  await collect(server.pfs.flushCommit({ commits: [commitOf('from', 'master')] }))
  const secret = join(directory, 'passphrase')
  await writeFile(secret, `${passphrase}\n`)
  const { port } = server
  for (const [suffix, flags] of [
    ['', []],
    ['.sealed', ['--passphrase-file', secret]],
  ] as const) {
    const file = join(directory, `${release}${suffix}.tar`)
    const run = await pachctlHere(['extract', '--file', file, ...flags], { port, home: '/' })
    expect(run).toMatchObject({ code: 0, err: '' })
  }
}

test('the stored formats are those that are recorded for this release', async () => {
  const release = await releaseNow()
  const before = await recorded()
  if (isUpdate) {
    await mkdir(directory, { recursive: true })
    await writeFixture(release)
    const record = { ...before, [release]: formatsNow }
    await writeFile(recordPath, `${JSON.stringify(record, undefined, 2)}\n`)
  }
  expect((await recorded())[release], `of ${release}: ${howTo}`).toEqual(formatsNow)
})

test('no release has changed a step of one before it', async () => {
  for (const [release, { layers, backups }] of Object.entries(await recorded())) {
    expect(backups, `backups of ${release}`).toBeLessThanOrEqual(backupVersion)
    for (const [layer, steps] of Object.entries(layers)) {
      const now = formatsNow.layers[layer]?.slice(0, steps.length)
      expect(now, `${layer} of ${release}: ${howTo}`).toEqual(steps)
    }
  }
})

test('every table is described', async () => {
  const formats = fileURLToPath(new URL('../../docs/formats/', import.meta.url))
  const pages = await Promise.all(
    (await readdir(formats)).map((name) => readFile(join(formats, name), 'utf8')),
  )
  const text = pages.join('\n')
  const tables = migrations.flatMap(({ steps }) =>
    steps.flat().flatMap((statement) => /^\s*CREATE TABLE (\w+)/.exec(statement)?.[1] ?? []),
  )
  expect(tables.length).toBeGreaterThan(20)
  expect(
    tables.filter((table) => !new RegExp(`\\b${table}\\b`).test(text)),
    'describe these in docs/formats/',
  ).toEqual([])
})

for (const suffix of ['', '.sealed']) {
  test(`a backup${suffix} of every release has its formats, and is restored`, async () => {
    const releases = Object.entries(await recorded())
    expect(releases.length).toBeGreaterThan(0)
    for (const [release, { layers }] of releases) {
      const file = join(directory, `${release}${suffix}.tar`)
      await using place = await ArchivePlace.open(file)
      const secret = suffix === '' ? undefined : parsePassphrase(passphrase)
      const backup = await Backup.open(place, { secret, random: new SystemRandom() })
      const snapshot = await backup.snapshot(await backup.find(''))
      for (const [layer, steps] of Object.entries(layers)) {
        expect(snapshot.layers[layer], `${layer} in ${file}: ${howTo}`).toBe(steps.length)
      }
      await expectRestored(file, suffix)
    }
  })
}

async function expectRestored(file: string, suffix: string): Promise<void> {
  await using temporary = await TemporaryDirectory.create()
  await using child = new ChildPachd(oneDoor(temporary.join('data')))
  const port = await child.ready
  const flags = suffix === '' ? [] : ['--passphrase-file', join(directory, 'passphrase')]
  const run = await pachctlHere(['restore', '--file', file, ...flags], { port, home: '/' })
  expect(run).toMatchObject({ code: 0, err: '' })
  child.signal('SIGTERM')
  await child.exit
  await using server = await TestPachd.start({ root: temporary.join('data') })
  expect(await getText(server, fileOf('made', 'master', 'open'))).toBe(open)
  expect(await getText(server, fileOf('from', 'v1', 'a/second'))).toBe('x'.repeat(100_000))
  expect(await getText(server, fileOf('copied', 'master', 'copied'))).toBe('one')
  const events = await collect(server.admin.check({ full: true }))
  expect(events.filter(({ event }) => event.case === 'finding')).toEqual([])
}
