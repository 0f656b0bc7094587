import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DamagedStore, kindsOf, WholeStore } from '../harness/damaged-store.ts'

let whole: WholeStore

beforeAll(async () => {
  whole = await WholeStore.make()
})
afterAll(async () => {
  await whole[Symbol.asyncDispose]()
})

/** A row of each kind of damage, made with one statement, and what a check must say of it. */
interface Damage {
  readonly what: string
  readonly sql: string
  readonly kinds: readonly string[]
  /** What the finding of that kind is about: a part of its subject. */
  readonly subject?: Readonly<Record<string, string>>
  /** Kinds that go by themselves once the others have been put right. */
  readonly follows?: readonly string[]
}

const head = "(SELECT head FROM branches WHERE repo = 'data' AND name = 'master')"
const outputCommit = "(SELECT id FROM commits WHERE repo = 'copy')"
const openCommit = "(SELECT id FROM commits WHERE repo = 'data' AND finished_at IS NULL)"
const goodJob = "(SELECT id FROM jobs WHERE state = 'success')"
const none = "'00000000000000000000000000000000'"

/** What nobody can work out again. */
const lasting: readonly Damage[] = [
  {
    what: 'a branch names a commit that is not there',
    sql: `UPDATE branches SET head = ${none} WHERE repo = 'data' AND name = 'open'`,
    kinds: ['branch-head-missing'],
    subject: { repo: 'data', branch: 'open' },
  },
  {
    what: 'a branch names a commit of another repo',
    sql: `UPDATE branches SET head = ${outputCommit} WHERE repo = 'data' AND name = 'open'`,
    kinds: ['branch-head-missing'],
    subject: { repo: 'data', branch: 'open' },
  },
  {
    what: 'a commit follows one that is not there',
    sql: `UPDATE commits SET parent = ${none} WHERE id = ${outputCommit}`,
    kinds: ['commit-parent-missing'],
    subject: { repo: 'copy' },
  },
  {
    what: 'a commit is half finished',
    sql: `UPDATE commits SET finished_at = 1 WHERE id = ${openCommit}`,
    kinds: ['commit-state-wrong', 'staged-writes-left-over'],
    subject: { repo: 'data' },
  },
  {
    what: 'a commit is in no repo',
    sql: `INSERT INTO commits (id, repo, started_at, written, staged_last, sealed_until)
      VALUES (${none}, 'nowhere', 1, 1, 0, 0)`,
    kinds: ['repo-missing'],
    subject: { repo: 'nowhere' },
  },
  {
    what: 'a repo is said to be made from one too many',
    sql: "INSERT INTO repo_provenance (repo, ancestor, direct) VALUES ('copy', 'data', 0)",
    kinds: ['provenance-unexplained'],
    subject: { repo: 'copy' },
  },
  {
    what: 'a commit is said to be made from one too many',
    sql: `INSERT INTO commit_provenance (id, ancestor, ancestor_repo, direct)
      VALUES (${outputCommit}, ${head}, 'data', 0)`,
    kinds: ['provenance-unexplained'],
    subject: { repo: 'copy' },
  },
  {
    what: 'a merged commit is not there',
    sql: `INSERT INTO merge_parents (id, parent) VALUES (${head}, ${none})`,
    kinds: ['merge-parent-missing'],
    subject: { repo: 'data' },
  },
  {
    what: 'a merged commit is in another repo',
    sql: `INSERT INTO merge_parents (id, parent) VALUES (${head}, ${outputCommit})`,
    kinds: ['merge-parent-missing'],
    subject: { repo: 'data' },
  },
  {
    what: 'a tag names a commit that is not there',
    sql: `INSERT INTO commit_tags (repo, name, id, tagged_at) VALUES ('data', 'v1', ${none}, 1)`,
    kinds: ['commit-tag-wrong'],
    subject: { repo: 'data', tag: 'v1' },
  },
  {
    what: 'a tag names a commit of another repo',
    sql: `INSERT INTO commit_tags (repo, name, id, tagged_at)
      VALUES ('data', 'v1', ${outputCommit}, 1)`,
    kinds: ['commit-tag-wrong'],
    subject: { repo: 'data', tag: 'v1' },
  },
  {
    what: 'a tree is not there',
    sql: `UPDATE commits SET root = '${'ab'.repeat(32)}' WHERE id = ${outputCommit}`,
    kinds: ['chunk-missing'],
    subject: { chunk: 'ab'.repeat(32) },
  },
  {
    what: 'a staged write is gone',
    sql: `DELETE FROM staged_writes WHERE id = ${openCommit} AND sequence = 2`,
    kinds: ['staged-write-lost'],
    subject: { repo: 'data' },
  },
  {
    what: 'the last staged write is gone',
    sql: `DELETE FROM staged_writes WHERE id = ${openCommit} AND sequence = 3`,
    kinds: ['staged-write-lost'],
  },
  {
    what: 'a staged write makes no sense',
    sql: `UPDATE staged_writes SET kind = 9 WHERE id = ${openCommit} AND sequence = 1`,
    kinds: ['staged-write-damaged'],
    subject: { repo: 'data' },
  },
  {
    what: 'an object is gone that has a tag',
    sql: `DELETE FROM objects WHERE hash = (SELECT hash FROM object_tags WHERE name = 'kept')`,
    kinds: ['tag-without-object'],
    subject: { tag: 'kept' },
  },
  {
    what: 'the content of an object makes no sense',
    sql: `UPDATE objects SET content = x'09'
      WHERE hash = (SELECT hash FROM object_tags WHERE name = 'kept')`,
    kinds: ['object-damaged'],
  },
  {
    what: 'a part of an upload makes no sense',
    sql: "INSERT INTO upload_parts (upload, number, put_at, content) VALUES ('u', 1, 0, x'09')",
    kinds: ['upload-damaged'],
  },
  {
    what: 'an event is missing',
    sql: 'DELETE FROM database_events WHERE sequence = 3',
    kinds: ['event-log-gap'],
  },
  {
    what: 'the spec of a pipeline is gone',
    sql: `DELETE FROM pipeline_versions WHERE pipeline_id =
      (SELECT id FROM pipelines WHERE name = 'copy')`,
    kinds: ['job-damaged', 'pipeline-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a pipeline has an unknown state',
    sql: "UPDATE pipelines SET state = 'odd' WHERE name = 'copy'",
    kinds: ['pipeline-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a spec is cut short',
    sql: `UPDATE pipeline_versions SET spec = '{' WHERE pipeline_id =
      (SELECT id FROM pipelines WHERE name = 'copy')`,
    kinds: ['pipeline-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'an arrival names a commit that is not there',
    sql: `UPDATE pipeline_arrivals SET commit_id = ${none} WHERE pipeline = 'copy'`,
    kinds: ['arrival-missing'],
    subject: { pipeline: 'copy', repo: 'in' },
  },
  {
    what: 'a job has an unknown state',
    sql: "UPDATE jobs SET state = 'odd' WHERE pipeline = 'bad'",
    kinds: ['job-damaged'],
    subject: { pipeline: 'bad' },
  },
  {
    what: 'a job that has ended has no end',
    sql: `UPDATE jobs SET finished_at = NULL WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'the counters of a good job do not balance',
    sql: `UPDATE jobs SET datum_processed = datum_processed + 1 WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
  },
  {
    what: 'a job has no inputs',
    sql: `DELETE FROM job_inputs WHERE job = ${goodJob}`,
    kinds: ['job-input-missing'],
  },
  {
    what: 'a job read a commit that is not there',
    sql: `UPDATE job_inputs SET commit_id = ${none} WHERE job = ${goodJob}`,
    kinds: ['job-input-missing', 'job-provenance-wrong'],
    subject: { repo: 'in' },
  },
  {
    what: 'a job wrote a commit that is not there',
    sql: `UPDATE jobs SET output_commit = ${none} WHERE id = ${goodJob}`,
    kinds: ['job-output-missing'],
    subject: { repo: 'copy' },
  },
  {
    what: 'a job says another count of datums than it lists',
    sql: `UPDATE jobs SET datum_total = 5, datum_processed = 5 WHERE id = ${goodJob}`,
    kinds: ['datum-set-wrong'],
  },
  {
    what: 'a datum of a good job has no result',
    sql: 'DELETE FROM datum_results WHERE datum = (SELECT MIN(datum) FROM datum_results)',
    kinds: ['datum-result-missing'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a result does not say what it was made from',
    sql: "UPDATE datum_results SET members = '[' WHERE datum = (SELECT MIN(datum) FROM datum_results)",
    kinds: ['datum-result-damaged'],
  },
  {
    what: 'a result was made from something else',
    sql: `UPDATE datum_results SET members = replace(members, '/a', '/c')`,
    kinds: ['datum-result-damaged'],
  },
  {
    what: 'the log of a failure cannot be read',
    sql: "UPDATE datum_failures SET logs = x'0112'",
    kinds: ['datum-failure-damaged'],
  },
  {
    what: 'the output repo of a pipeline is gone',
    sql: "DELETE FROM repos WHERE name = 'bad'",
    kinds: ['pipeline-repo-missing', 'provenance-left-over'],
    subject: { pipeline: 'bad', repo: 'bad' },
  },
]

/** What follows from the rest, and what is left over. */
const derivable: readonly Damage[] = [
  {
    what: 'the closure of a repo lacks what it is made from by way of another',
    sql: "DELETE FROM repo_provenance WHERE repo = 'far' AND direct = 0",
    kinds: ['repo-provenance-wrong'],
    subject: { repo: 'far' },
  },
  {
    what: 'the closure of a commit lacks what it is made from by way of another',
    sql: `DELETE FROM commit_provenance WHERE direct = 0
      AND id = (SELECT id FROM commits WHERE repo = 'far')`,
    kinds: ['commit-provenance-wrong'],
    subject: { repo: 'far' },
  },
  {
    what: 'an output repo is not said to be made from its input',
    // What it is made from directly is not said any more, but the pipeline says it.
    sql: "DELETE FROM repo_provenance WHERE ancestor = 'in' AND repo IN ('copy', 'far')",
    kinds: ['pipeline-provenance-wrong'],
    subject: { repo: 'copy' },
  },
  {
    what: 'a repo that does not exist is made from others',
    sql: "INSERT INTO repo_provenance (repo, ancestor, direct) VALUES ('nowhere', 'data', 1)",
    kinds: ['provenance-left-over'],
  },
  {
    what: 'the size of a repo is wrong',
    sql: "UPDATE repos SET size_bytes = size_bytes + 7 WHERE name = 'data'",
    kinds: ['repo-size-wrong'],
    subject: { repo: 'data' },
  },
  {
    what: 'the sums of a commit are wrong',
    sql: `UPDATE commits SET file_count = file_count + 1 WHERE id = ${outputCommit}`,
    kinds: ['commit-sums-wrong'],
    subject: { repo: 'copy' },
  },
  {
    what: 'an output commit is not said to be made from its input',
    sql: `DELETE FROM commit_provenance WHERE id = ${outputCommit}`,
    kinds: ['job-output-provenance-wrong', 'provenance-unexplained'],
    subject: { repo: 'copy' },
    follows: ['provenance-unexplained'],
  },
  {
    what: 'the provenance of a commit names the wrong repo',
    sql: `UPDATE commit_provenance SET ancestor_repo = 'data' WHERE id = ${outputCommit}`,
    kinds: ['commit-provenance-wrong'],
    subject: { repo: 'copy' },
  },
  {
    what: 'a commit that does not exist is made from others',
    sql: `INSERT INTO commit_provenance (id, ancestor, ancestor_repo, direct)
      VALUES (${none}, ${head}, 'data', 1)`,
    kinds: ['provenance-left-over'],
  },
  {
    what: 'a commit that does not exist merged another',
    sql: `INSERT INTO merge_parents (id, parent) VALUES (${none}, ${head})`,
    kinds: ['merge-parents-left-over'],
  },
  {
    what: 'the counter of writes is behind',
    sql: 'UPDATE versioning_sequence SET last = 1',
    kinds: ['write-sequence-behind'],
  },
  {
    what: 'the counter of writes is gone',
    sql: 'DELETE FROM versioning_sequence',
    kinds: ['write-sequence-behind'],
  },
  {
    what: 'writes wait for a finished commit',
    sql: `INSERT INTO staged_writes (id, sequence, kind, path_key, payload)
      VALUES (${head}, 1, 3, x'61', x'')`,
    kinds: ['staged-writes-left-over'],
  },
  {
    what: 'an object is gone that a tag says where to find',
    sql: "DELETE FROM objects WHERE hash = (SELECT hash FROM object_tags WHERE name = 'file')",
    kinds: ['tag-without-object'],
    subject: { tag: 'file' },
  },
  {
    what: 'the inputs of a pipeline are not noted',
    sql: "DELETE FROM pipeline_inputs WHERE pipeline = 'copy'",
    kinds: ['pipeline-inputs-wrong'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a job is not said to follow from its input',
    sql: `DELETE FROM job_provenance WHERE job = ${goodJob}`,
    kinds: ['job-provenance-wrong'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'rows are about a job that does not exist',
    sql: `INSERT INTO job_inputs (job, repo, branch, commit_id) VALUES ('none', 'in', 'b', 'c')`,
    kinds: ['job-rows-left-over'],
  },
  {
    what: 'the sums of a result are wrong',
    sql: 'UPDATE datum_results SET output_bytes = output_bytes + 1',
    kinds: ['datum-result-damaged'],
  },
]

async function damaged({ sql }: Damage): Promise<DamagedStore> {
  const store = await whole.copy()
  store.sql(sql)
  return store
}

/** All rows but events and what repairs write anew. */
function rowsOf(store: DamagedStore): unknown {
  const tables = store.sql("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
  return tables
    .map(({ name }) => String(name))
    .filter((name) => !/^(?:database_|sqlite_)/.test(name))
    .map((name) => [name, store.sql(`SELECT * FROM ${name}`)])
}

test.each(lasting)('$what: told exactly, and nothing is guessed', async (damage) => {
  const store = await damaged(damage)
  const result = await store.check({ full: true })
  expect(kindsOf(result)).toEqual(damage.kinds)
  expect(result.findings.map(({ subject }) => subject)).toContainEqual(
    expect.objectContaining(damage.subject ?? {}),
  )
  await store.check({ fix: true })
  const left = await store.check()
  expect(left.findings.length).toBeGreaterThan(0)
})

test.each(derivable)('$what: told exactly, and put right', async (damage) => {
  const store = await damaged(damage)
  const before = rowsOf(store)
  const dry = await store.check({ full: true })
  expect(kindsOf(dry)).toEqual(damage.kinds)
  const { follows = [] } = damage
  const causes = dry.findings.filter(({ kind }) => !follows.includes(kind.name))
  expect(causes.every(({ repair }) => repair === 'possible')).toBe(true)
  expect(dry.findings.map(({ subject }) => subject)).toContainEqual(
    expect.objectContaining(damage.subject ?? {}),
  )
  expect(rowsOf(store)).toEqual(before)
  const fixed = await store.check({ fix: true })
  expect(kindsOf(fixed)).toEqual(damage.kinds.filter((kind) => !follows.includes(kind)))
  expect(fixed.findings.every(({ repair }) => repair === 'done')).toBe(true)
  expect(fixed.counts).toMatchObject({ errors: 0, warnings: 0, repaired: fixed.findings.length })
  expect((await store.check({ full: true })).findings).toEqual([])
})
