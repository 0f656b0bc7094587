import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { refused } from '../harness/expectations.ts'
import { collect, commitFiles } from '../harness/files.ts'
import { atomOf, flush, jobsOf, outputOf } from '../harness/pipelines.ts'
import { TestClient } from '../harness/test-pachd.ts'

const jobCount = 20_000
const source = 'in'
const pipeline = { name: 'large' }
const spec = {
  pipeline,
  transform: { cmd: ['sh', '-e'], stdin: [`cp /pfs/${source}/* /pfs/out/`] },
  input: atomOf(source, '/*'),
}

/** In SQL. */
function id(kind: string): string {
  return `'${kind}' || printf('%031x', number)`
}

/** Copies of the rows of one job with all that is about it; making as many by calls takes hours. */
function addJobs(root: string): void {
  const database = new DatabaseSync(join(root, 'metadata.db'))
  const columnsOf = (table: string, changed: Readonly<Record<string, string>>): string =>
    database
      .prepare('SELECT name FROM pragma_table_info(?)')
      .all(table)
      .map(({ name }) => changed[String(name)] ?? String(name))
      .join(', ')
  const numbers = `WITH RECURSIVE numbers (number) AS
    (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ${jobCount})`
  try {
    const job = { id: id('a'), sequence: 'sequence + number', inputs_key: id('b') }
    const ofJob = { job: id('a') }
    const result = { job: id('a'), datum: id('d'), salt: "''", output_root: "''" }
    database.exec(`BEGIN;
      ${numbers} INSERT INTO datum_results SELECT ${columnsOf('datum_results', result)}
        FROM numbers, (SELECT * FROM datum_results LIMIT 1);
      ${numbers} INSERT INTO job_inputs SELECT ${columnsOf('job_inputs', ofJob)}
        FROM numbers, (SELECT * FROM job_inputs LIMIT 1);
      ${numbers} INSERT INTO job_provenance SELECT ${columnsOf('job_provenance', ofJob)}
        FROM numbers, (SELECT * FROM job_provenance LIMIT 1);
      ${numbers} INSERT INTO datum_failures SELECT ${id('a')}, datum, members, 'odd', download_ms,
          process_ms, upload_ms, download_bytes, upload_bytes, finished_at, logs, worker, 0, 0
        FROM numbers, (SELECT * FROM datum_results WHERE output_root <> '' LIMIT 1);
      ${numbers} INSERT INTO job_rows SELECT ${columnsOf('job_rows', job)}
        FROM numbers, (SELECT * FROM job_rows LIMIT 1);
      COMMIT`)
  } finally {
    database.close()
  }
}

type Counts = Readonly<Record<string, SQLOutputValue>>

/** Of a store that a server has open: the file must not be read any other way. */
function rowCounts(root: string): Counts {
  const database = new DatabaseSync(join(root, 'metadata.db'), { readOnly: true })
  const tables = ['job_rows', 'job_inputs', 'job_provenance', 'datum_failures', 'datum_results']
  try {
    const counts = [...tables, 'deleted_jobs'].map(
      (table) => `(SELECT COUNT(*) FROM ${table}) AS ${table}`,
    )
    return database.prepare(`SELECT ${counts.join(', ')}`).get() ?? {}
  } finally {
    database.close()
  }
}

/** In a copy: closing the store of a killed server would move its log, which is the server's to do. */
async function rowCountsOfKilled(root: string): Promise<Counts> {
  await using directory = await TemporaryDirectory.create()
  for (const name of ['metadata.db', 'metadata.db-wal']) {
    await cp(join(root, name), directory.join(name))
  }
  return rowCounts(directory.path)
}

test('a server that is killed while it deletes very many jobs goes on when it is started', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  const args = ['--root', root, '--address', '127.0.0.1:0']
  const some = { id: `a${(17).toString(16).padStart(31, '0')}` }
  {
    await using child = new ChildPachd(args)
    await using client = new TestClient(await child.ready)
    await client.pfs.createRepo({ repo: { name: source } })
    await client.pps.createPipeline(spec)
    await flush(
      client,
      source,
      await commitFiles(client, { repo: source, branch: 'master' }, { f: 'x' }),
    )
    child.signal('SIGTERM')
    await child.exit
  }
  addJobs(root)
  {
    await using child = new ChildPachd(args)
    await using client = new TestClient(await child.ready)
    expect((await client.pps.inspectJob({ job: some })).job?.id).toBe(some.id)
    const deletion = client.pps
      .deletePipeline({ pipeline, deleteJobs: true, deleteRepo: true })
      .catch(() => undefined)
    const isGone = async (): Promise<boolean> =>
      await client.pps.inspectJob({ job: some }).then(
        () => false,
        () => true,
      )
    await expect.poll(isGone, { interval: 1 }).toBe(true)
    expect(await jobsOf(client, '')).toEqual([])
    child.signal('SIGKILL')
    await child.exit
    await deletion
  }
  const left = await rowCountsOfKilled(root)
  expect(left).toMatchObject({ deleted_jobs: 1 })
  expect(Number(left['job_rows'])).toBeGreaterThan(0)

  await using child = new ChildPachd(args)
  await using client = new TestClient(await child.ready)
  await expect(client.pps.inspectJob({ job: some })).rejects.toEqual(
    refused('not-found', 'not found'),
  )
  expect(await jobsOf(client, pipeline.name)).toEqual([])
  const events = await collect(client.admin.check({}))
  const findings = events.flatMap(({ event }) => (event.case === 'finding' ? [event.value] : []))
  expect(findings).toEqual([])
  await client.pps.createPipeline(spec)
  const isPurged = (): unknown => rowCounts(root)['deleted_jobs']
  await expect.poll(isPurged, { interval: 200 }).toBe(0)
  // The new pipeline of the same name has run by itself, over the same input.
  await expect.poll(() => outputOf(client, pipeline.name)).toEqual({ '/f': 'x' })
  expect(rowCounts(root)).toMatchObject({
    job_rows: 1,
    job_inputs: 1,
    job_provenance: 1,
    datum_failures: 0,
    datum_results: 1,
    deleted_jobs: 0,
  })
  child.signal('SIGTERM')
  await child.exit
})
