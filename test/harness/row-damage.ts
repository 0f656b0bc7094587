/** A row of each kind of damage, made with one statement, and what a check must say of it. */
export interface Damage {
  readonly what: string
  readonly sql: string
  /** More statements. */
  readonly more?: readonly string[]
  readonly kinds: readonly string[]
  /** What the finding of that kind is about: a part of its subject. */
  readonly subject?: Readonly<Record<string, string>>
  /** Kinds that go by themselves once the others have been put right. */
  readonly follows?: readonly string[]
}

/** The number of a write just after that which made the repo. */
const afterRepo = `(SELECT made + 1 FROM repos WHERE name = 'data')`
export const head: string = "(SELECT head FROM branches WHERE repo = 'data' AND name = 'master')"
export const outputCommit: string = "(SELECT id FROM commits WHERE repo = 'copy')"
const openCommit = "(SELECT id FROM commits WHERE repo = 'data' AND finished_at IS NULL)"
export const goodJob: string = "(SELECT id FROM jobs WHERE state = 'success')"
export const none: string = "'00000000000000000000000000000000'"

/** A trigger of the branch `slow` of `data`. */
function triggerOf(trigger: {
  readonly source?: string
  readonly owner?: string
  readonly commitCount?: number
}): string {
  const { source = 'master', owner = '', commitCount = 1 } = trigger
  return `INSERT INTO branch_triggers (repo, branch, source, owner, size_bytes, commit_count, schedule,
      is_all, noted, added_bytes, added_count, last_tick, has_ticked)
    VALUES ('data', 'slow', '${source}', '${owner}', 0, ${commitCount}, '', 0, NULL, 0, 0, 0, 0)`
}

/** What nobody can work out again. */
export const lastingDamage: readonly Damage[] = [
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
    what: 'a commit follows itself',
    sql: `UPDATE commits SET parent = id WHERE id = ${head}`,
    kinds: ['commit-order-wrong'],
    subject: { repo: 'data' },
  },
  {
    what: 'commits follow each other in a circle',
    sql: `UPDATE commits SET parent = ${head} WHERE repo = 'data' AND parent IS NULL
      AND finished_at IS NOT NULL`,
    kinds: ['commit-order-wrong'],
    subject: { repo: 'data' },
  },
  {
    what: 'a commit is numbered before what it follows',
    sql: `UPDATE commits SET written = ${afterRepo} WHERE id = ${head}`,
    kinds: ['commit-order-wrong'],
    subject: { repo: 'data' },
  },
  {
    what: 'a commit merged itself',
    sql: `INSERT INTO merge_parents (id, parent) VALUES (${head}, ${head})`,
    kinds: ['commit-order-wrong'],
    subject: { repo: 'data' },
  },
  {
    what: 'a commit merged one that came after it',
    sql: `INSERT INTO merge_parents (id, parent)
      SELECT id, ${head} FROM commits WHERE id = (SELECT parent FROM commits WHERE id = ${head})`,
    kinds: ['commit-order-wrong'],
    subject: { repo: 'data' },
  },
  {
    what: 'a commit does not say what it added',
    sql: `UPDATE commits SET added_bytes = NULL WHERE id = ${head}`,
    kinds: ['commit-growth-missing'],
    subject: { repo: 'data' },
  },
  {
    what: 'a message is longer than one may be',
    sql: `UPDATE commits SET message = printf('%5000d', 1) WHERE id = ${head}`,
    kinds: ['commit-message-wrong'],
    subject: { repo: 'data' },
  },
  {
    what: 'a repo has a name that none can have',
    sql: `INSERT INTO repos (name, description, created_at, size_bytes, written)
      VALUES ('a/b', '', 1, 0, 1)`,
    kinds: ['name-invalid'],
    subject: { repo: 'a/b' },
  },
  {
    what: 'a branch has a name that none can have',
    sql: `INSERT INTO branches (repo, name, head, written)
      VALUES ('data', 'a' || char(0), ${head}, 1)`,
    kinds: ['name-invalid'],
    subject: { repo: 'data', branch: 'a\0' },
  },
  {
    what: 'a commit tag has a name that none can have',
    sql: `INSERT INTO commit_tags (repo, name, id, tagged_at) VALUES ('data', 'a:b', ${head}, 1)`,
    kinds: ['name-invalid'],
    subject: { repo: 'data', tag: 'a:b' },
  },
  {
    what: 'a commit has an id that is none',
    sql: `INSERT INTO commits (id, repo, started_at, written, staged_last, sealed_until)
      VALUES ('short', 'data', 1, ${afterRepo}, 0, 0)`,
    kinds: ['name-invalid'],
    subject: { repo: 'data', commit: 'short' },
  },
  {
    what: 'a transaction has lost its operations',
    sql: `INSERT INTO transactions (id, description, started_at, operation_count, size_bytes)
      VALUES (${none}, '', 1, 2, 40)`,
    kinds: ['transaction-damaged'],
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
    what: 'the id of a commit that writes wait for is no text',
    sql: `UPDATE staged_writes SET id = CAST(x'ff22' AS TEXT) WHERE sequence = 1`,
    kinds: ['staged-write-damaged', 'staged-write-lost'],
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
    what: 'the newest events are missing',
    sql: `DELETE FROM database_events
      WHERE sequence >= (SELECT MIN(sequence) FROM database_events WHERE subject LIKE 'far%')`,
    kinds: ['event-log-gap'],
    subject: { repo: 'far' },
  },
  {
    what: 'the values of a secret are gone',
    sql: "DELETE FROM secret_values WHERE name = 'login'",
    kinds: ['secret-damaged'],
  },
  {
    what: 'a secret has the values of another revision',
    sql: "UPDATE secret_values SET revision = 'x' WHERE name = 'login'",
    kinds: ['secret-damaged'],
  },
  {
    what: 'the values of a secret are cut off',
    sql: "UPDATE secret_values SET sealed = x'00' WHERE name = 'login'",
    kinds: ['secret-damaged'],
  },
  {
    what: 'the entries of a secret lead elsewhere',
    sql: `UPDATE secrets SET entries = '["../x"]' WHERE name = 'login'`,
    kinds: ['secret-damaged'],
  },
  {
    what: 'a branch follows another by no condition',
    sql: triggerOf({ commitCount: 0 }),
    kinds: ['branch-trigger-damaged'],
    subject: { repo: 'data', branch: 'slow' },
  },
  {
    what: 'the pipeline is gone that had a branch follow another',
    sql: triggerOf({ owner: 'nobody' }),
    kinds: ['branch-trigger-damaged'],
    subject: { repo: 'data', branch: 'slow' },
  },
  {
    what: 'branches follow each other in a circle',
    sql: triggerOf({ source: 'slow' }),
    kinds: ['branch-trigger-damaged'],
    subject: { repo: 'data', branch: 'slow' },
  },
  {
    what: 'a pipeline of a trial is gone',
    sql: "INSERT INTO trials (name, created_at) VALUES ('t', 1)",
    more: [
      `INSERT INTO trial_pipelines (pipeline, trial, position, tries, based_on, is_changed, spec)
        SELECT 'copy--t', 't', 0, 'copy', version, 1, spec FROM pipeline_versions
          WHERE pipeline_id = (SELECT id FROM pipelines WHERE name = 'copy')`,
    ],
    kinds: ['trial-damaged'],
  },
  {
    what: 'a trial has lost its parts',
    sql: "INSERT INTO trials (name, created_at) VALUES ('t', 1)",
    kinds: ['trial-damaged'],
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
    what: 'a spec holds bytes that are not UTF-8',
    sql: `UPDATE pipeline_versions SET spec = replace(spec, '"command":["', '"command":["' || CAST(x'ff' AS TEXT))
      WHERE pipeline_id = (SELECT id FROM pipelines WHERE name = 'copy')`,
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
    what: 'the row of a pipeline is gone',
    sql: "DELETE FROM pipelines WHERE name = 'bad'",
    kinds: ['pipeline-missing', 'pipeline-rows-left-over'],
    subject: { pipeline: 'bad' },
  },
  {
    what: 'the spec of a former version makes no sense',
    sql: `INSERT INTO pipeline_versions SELECT pipeline_id, version + 1, spec
      FROM pipeline_versions WHERE pipeline_id = (SELECT id FROM pipelines WHERE name = 'bad')`,
    more: [
      "UPDATE pipelines SET version = version + 1 WHERE name = 'bad'",
      `UPDATE pipeline_versions SET spec = '{"name":7}' WHERE version = 1
        AND pipeline_id = (SELECT id FROM pipelines WHERE name = 'bad')`,
    ],
    kinds: ['spec-damaged'],
    subject: { pipeline: 'bad' },
  },
  {
    what: 'the spec of a former version holds bytes that are not UTF-8',
    sql: `INSERT INTO pipeline_versions SELECT pipeline_id, version + 1, spec
      FROM pipeline_versions WHERE pipeline_id = (SELECT id FROM pipelines WHERE name = 'bad')`,
    more: [
      "UPDATE pipelines SET version = version + 1 WHERE name = 'bad'",
      `UPDATE pipeline_versions SET spec = replace(spec, '"command":["', '"command":["' || CAST(x'f09f98' AS TEXT))
        WHERE version = 1 AND pipeline_id = (SELECT id FROM pipelines WHERE name = 'bad')`,
    ],
    kinds: ['spec-damaged'],
    subject: { pipeline: 'bad' },
  },
  {
    what: 'an arrival has an unknown state',
    sql: "UPDATE pipeline_arrivals SET state = 'odd' WHERE pipeline = 'copy'",
    kinds: ['arrival-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'an arrival is on an input that the pipeline does not have',
    sql: "UPDATE pipeline_arrivals SET position = 7 WHERE pipeline = 'copy'",
    kinds: ['arrival-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a history goes on at a commit that is not there',
    sql: `INSERT INTO pipeline_histories (pipeline, position, commit_id) VALUES ('copy', 0, ${none})`,
    kinds: ['arrival-missing'],
    subject: { pipeline: 'copy', repo: 'in' },
  },
  {
    what: 'a job was started by a commit that it did not read',
    sql: `UPDATE job_rows SET new_commit = ${none} WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a job has another key than its inputs give',
    sql: `UPDATE job_rows SET inputs_key = 'x' WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
  },
  {
    what: 'a job has another salt than its pipeline',
    sql: "UPDATE job_rows SET salt = 'x' WHERE pipeline = 'bad'",
    kinds: ['datum-failure-damaged', 'job-damaged'],
  },
  {
    what: 'a job writes another branch than its spec says',
    sql: `UPDATE job_rows SET output_branch = 'x' WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
  },
  {
    what: 'a job says that one of another pipeline is its parent',
    sql: `UPDATE job_rows SET parent_job = (SELECT id FROM jobs WHERE pipeline = 'bad')
      WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
  },
  {
    what: 'a job has a parent that is no job',
    sql: `UPDATE job_rows SET parent_job = 'x' WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
  },
  {
    what: 'a job is compared with itself',
    sql: `UPDATE job_rows SET base_job = id WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
  },
  {
    what: 'an output commit has another tree than its job wrote',
    sql: `UPDATE commits SET (root, size_bytes, file_count) =
        (SELECT root, size_bytes, file_count FROM commits WHERE id = ${head})
      WHERE id = ${outputCommit}`,
    kinds: ['job-output-wrong'],
    subject: { pipeline: 'copy', repo: 'copy' },
  },
  {
    what: 'a job has an unknown state',
    sql: "UPDATE job_rows SET state = 'odd' WHERE pipeline = 'bad'",
    kinds: ['job-damaged'],
    subject: { pipeline: 'bad' },
  },
  {
    what: 'a job that has ended has no end',
    sql: `UPDATE job_rows SET finished_at = NULL WHERE id = ${goodJob}`,
    kinds: ['job-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'the counters of a good job do not balance',
    sql: `UPDATE job_rows SET datum_processed = datum_processed + 1 WHERE id = ${goodJob}`,
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
    kinds: ['job-damaged', 'job-input-missing', 'job-provenance-wrong'],
    subject: { repo: 'in' },
  },
  {
    what: 'a job wrote a commit that is not there',
    sql: `UPDATE job_rows SET output_commit = ${none} WHERE id = ${goodJob}`,
    kinds: ['job-output-missing'],
    subject: { repo: 'copy' },
  },
  {
    what: 'a job says another count of datums than it lists',
    sql: `UPDATE job_rows SET datum_total = 5, datum_processed = 5 WHERE id = ${goodJob}`,
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
