import { type Damage, goodJob, head, none, outputCommit } from './row-damage.ts'

/** What follows from the rest, and what is left over. */
export const derivableDamage: readonly Damage[] = [
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
    what: 'operations are left of a transaction that does not exist',
    sql: `INSERT INTO transaction_operations (id, position, operation) VALUES (${none}, 0, '{}')`,
    kinds: ['transaction-rows-left-over'],
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
    what: 'arrivals are left of a pipeline that does not exist',
    sql: `INSERT INTO pipeline_arrivals (pipeline, sequence, position, commit_id, state)
      VALUES ('nobody', 1, 0, ${head}, 'new')`,
    kinds: ['pipeline-rows-left-over'],
  },
  {
    what: 'a pipeline is noted as a spout, and is none',
    sql: "UPDATE pipelines SET is_spout = 1 WHERE name = 'copy'",
    kinds: ['pipeline-kind-wrong'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a pipeline is noted as a service, and is none',
    sql: "UPDATE pipelines SET service_port = 80 WHERE name = 'copy'",
    kinds: ['pipeline-kind-wrong'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'the inputs of a pipeline are not noted',
    sql: "DELETE FROM pipeline_inputs WHERE pipeline = 'copy'",
    kinds: ['arrival-damaged', 'pipeline-inputs-wrong'],
    follows: ['arrival-damaged'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a job is not said to follow from its input',
    sql: `DELETE FROM job_provenance WHERE job = ${goodJob}`,
    kinds: ['job-provenance-wrong'],
    subject: { pipeline: 'copy' },
  },
  {
    what: 'a job that failed counts more failures than it has',
    sql: "UPDATE job_rows SET datum_failed = datum_failed + 1 WHERE pipeline = 'bad'",
    kinds: ['job-counts-wrong'],
    subject: { pipeline: 'bad' },
  },
  {
    what: 'a job that failed counts datums as processed that it has not',
    sql: "UPDATE job_rows SET datum_processed = datum_processed + 1 WHERE pipeline = 'bad'",
    kinds: ['job-counts-wrong'],
    subject: { pipeline: 'bad' },
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
  {
    what: 'rows are parts of a trial that does not exist',
    sql: `INSERT INTO trial_data (trial, position, repo, branch, other)
      VALUES ('none', 0, 'data', 'master', 'other')`,
    kinds: ['trial-rows-left-over'],
  },
]
