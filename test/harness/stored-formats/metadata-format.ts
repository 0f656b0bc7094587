import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { utf8 } from '../../../src/base/bytes.ts'
import { SystemClock } from '../../../src/base/clock.ts'
import { openSqlite } from '../../../src/database/sqlite.ts'
import { migrations } from '../../../src/server/migrations.ts'
import { TrialState } from '../../../src/gen/pachyderm_pb.ts'
import { TemporaryDirectory } from '../../../src/testing/temporary-directory.ts'
import { commitFiles, commitOf, fileOf, putFile } from '../files.ts'
import { pachctlHere } from '../pachctl-here.ts'
import { TestPachd } from '../test-pachd.ts'
import { rowShapes } from './row-shapes.ts'
import type { StoredFormat } from './stored-format.ts'

/**
 * Of what rows hold in JSON and bytes. Another one for every change of it; what becomes of rows of older
 * releases is said in docs/formats/metadata.md, and done by a step of the tables or by whoever reads them.
 */
const rowsVersion = 1

const pollMs = 20

const steps = migrations.map(({ layer, steps: { length } }) => `${layer} ${length}`)

export const metadataFormat: StoredFormat = {
  page: 'metadata',
  version: [...steps, `rows ${rowsVersion}`].join(', '),
  samples: {
    'the tables, and what the file says of itself': { write: writtenTables },
    'the mark of a database that is open': { write: writtenMark },
    'what is in rows': {
      write: async () => {
        await using directory = await TemporaryDirectory.create()
        const root = directory.join('data')
        await writeOfEverything(root)
        return JSON.stringify(rowShapes(join(root, 'metadata.db')))
      },
    },
  },
}

async function writtenTables(): Promise<string> {
  await using directory = await TemporaryDirectory.create()
  const clock = new SystemClock()
  await (await openSqlite({ path: directory.path, migrations, clock }))[Symbol.asyncDispose]()
  using database = new DatabaseSync(directory.join('metadata.db'), { readOnly: true })
  const pragmas = ['application_id', 'page_size', 'encoding', 'user_version', 'journal_mode']
  const facts = pragmas.map((name) => database.prepare(`PRAGMA ${name}`).get())
  const parts = database.prepare(
    'SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name',
  )
  return [...facts, ...parts.all()].map((row) => JSON.stringify(row)).join('\n')
}

async function writtenMark(): Promise<string> {
  await using directory = await TemporaryDirectory.create()
  await using database = await openSqlite({
    path: directory.path,
    migrations,
    clock: new SystemClock(),
  })
  await database.transact((tx) => tx.emit('topic', 'subject'))
  for (;;) {
    const text = await readFile(directory.join('metadata.db-open'), 'utf8')
    if (text !== '') return text
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** Rows of everything that calls leave, in a data directory. */
async function writeOfEverything(root: string): Promise<void> {
  await using server = await TestPachd.start({ root })
  await server.secrets.createSecret({ name: 'keys', entries: [{ name: 'one', value: utf8('A') }] })
  // One whose pipeline never runs, and one that nobody reads.
  for (const name of ['empty', 'spare']) await server.pfs.createRepo({ repo: { name } })
  for (const name of ['left', 'right']) {
    await server.pfs.createRepo({ repo: { name }, description: `repo ${name}` })
    await commitFiles(
      server,
      { repo: name, branch: 'master' },
      { a: 'one', b: 'x'.repeat(100_000) },
    )
  }
  await server.pfs.startCommit({ parent: commitOf('left', ''), branch: 'open' })
  await putFile(server, fileOf('left', 'open', 'staged'), 'not finished')
  await server.commits.tagCommit({ commit: commitOf('left', 'master'), tag: 'v1' })
  const trigger = { branch: 'master', commits: 2n, size: '1kB' }
  await server.commits.setBranchTrigger({ repo: { name: 'left' }, branch: 'staging', trigger })
  await commitFiles(server, { repo: 'left', branch: 'other' }, { a: 'two' })
  await makePipelines(server)
  await jobsEnded(server)
  await server.trials.createTrial({
    trial: 'tried',
    specs: [{ ...whole, pipeline: { name: 'failing' } }],
    data: [{ branch: commitOf('left', 'master'), other: 'other' }],
  })
  await untilTried(server)
  await jobsEnded(server)
  await recordTransaction(server.port)
}

async function jobsEnded({ pps }: Pick<TestPachd, 'pps'>): Promise<void> {
  const { jobInfo } = await pps.listJob({})
  for (const { job } of jobInfo) if (job) await pps.inspectJob({ job, blockState: true })
}

function isOver({ state }: { readonly state: TrialState }): boolean {
  return state === TrialState.READY || state === TrialState.FAILED
}

async function untilTried({ trials }: Pick<TestPachd, 'trials'>): Promise<void> {
  for (;;) {
    const { pipelines } = await trials.inspectTrial({ trial: 'tried' })
    if (pipelines.every(isOver)) return
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}

const atomOf = (repo: string) => ({ repo, branch: 'master', glob: '/(*)' })

const whole = {
  transform: { cmd: ['true'] },
  input: { atom: { ...atomOf('left'), glob: '/' } },
}

async function makePipelines({ pps }: Pick<TestPachd, 'pps'>): Promise<void> {
  await pps.createPipeline({
    pipeline: { name: 'full' },
    description: 'about it',
    transform: {
      image: 'registry.example/tool:1',
      cmd: ['sh'],
      env: { A: '1' },
      secrets: [{ name: 'keys', key: 'one', envVar: 'ONE' }],
      stdin: ['cp /pfs/left/* /pfs/out/', 'exit 3'],
      acceptReturnCode: [3n],
      debug: true,
      imagePullSecrets: ['login'],
      errCmd: ['false'],
      errStdin: ['x'],
    },
    parallelismSpec: { constant: 2n },
    egress: { URL: 's3://nowhere/x', secret: '' },
    input: { atom: { ...atomOf('empty'), name: 'in', lazy: true } },
    outputBranch: 'results',
    resourceSpec: { cpu: 0.5, memory: '2Gi', gpu: 1n },
    cacheSize: '1G',
    scaleDownThreshold: { seconds: 90n },
    datumTimeout: { seconds: 60n },
    jobTimeout: { seconds: 600n },
    datumTries: 2n,
    enableStats: true,
    batch: true,
    executor: 'process',
  })
  const [left, right] = [{ atom: atomOf('left') }, { atom: atomOf('right') }]
  const inputs = {
    joined: { join: [left, right].map(({ atom }) => ({ atom: { ...atom, joinOn: '$1' } })) },
    grouped: { group: [left, right].map(({ atom }) => ({ atom: { ...atom, groupBy: '$1' } })) },
    crossed: { cross: [left, { union: [right] }] },
    ticking: {
      cron: { name: 'tick', spec: '@yearly', timeZone: 'Europe/Berlin', missedTicks: 'all' },
    },
  }
  for (const [name, input] of Object.entries(inputs)) {
    await pps.createPipeline({ pipeline: { name }, transform: { cmd: ['true'] }, input })
  }
  await pps.createPipeline({
    ...whole,
    pipeline: { name: 'failing' },
    transform: { cmd: ['sh'], stdin: ['echo no; exit 1'] },
  })
}

/** One operation of each kind, in a transaction that stays open. */
async function recordTransaction(port: number): Promise<void> {
  await using home = await TemporaryDirectory.create()
  for (const command of [
    'start-transaction',
    'create-repo made -d made',
    'start-commit made master',
    'set-branch left master moved',
    'delete-branch left moved',
    'copy-file left master a made master c',
    'delete-file left open staged',
    'finish-commit made master -m said',
    'tag-commit left master v2',
    'delete-commit-tag left v1',
    'delete-repo spare',
  ]) {
    const { code, err } = await pachctlHere(command.split(' '), { port, home: home.path })
    if (code !== 0) throw new Error(`${command}: ${err}`)
  }
}
