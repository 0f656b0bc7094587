import type { Migrations } from '../database/database.ts'

/** The tables of pipelines, jobs and datum results. Meaning of each column: `docs/formats/metadata.md`. */
export const pipelinesMigrations: Migrations = {
  layer: 'pipelines',
  outsideTables: ['exported_outputs'],
  steps: [
    [
      `CREATE TABLE pipelines (
        name TEXT NOT NULL PRIMARY KEY,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        salt TEXT NOT NULL,
        state TEXT NOT NULL,
        recent_error TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL
      )`,
      `CREATE TABLE pipeline_versions ( -- clustered
        pipeline_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        spec TEXT NOT NULL,
        PRIMARY KEY (pipeline_id, version)
      )`,
      // The branches that a pipeline reads, in input order.
      `CREATE TABLE pipeline_inputs ( -- clustered
        pipeline TEXT NOT NULL,
        position INTEGER NOT NULL,
        repo TEXT NOT NULL,
        branch TEXT NOT NULL,
        PRIMARY KEY (pipeline, position)
      )`,
      `CREATE INDEX pipeline_inputs_by_branch ON pipeline_inputs (repo, branch)`,
      // Finished commits that may still become part of a job, oldest first. State `new`: not looked at
      // yet; `waiting`: nothing has aligned with it so far; `used`: part of a job.
      `CREATE TABLE pipeline_arrivals ( -- clustered
        pipeline TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        position INTEGER NOT NULL,
        commit_id TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (pipeline, sequence)
      )`,
      `CREATE INDEX pipeline_arrivals_by_position ON pipeline_arrivals (pipeline, position, sequence)`,
      `CREATE INDEX pipeline_arrivals_by_state ON pipeline_arrivals (pipeline, state, sequence)`,
      // Where the walk along an input branch, from new to old, goes on to note what it holds.
      `CREATE TABLE pipeline_histories ( -- clustered
        pipeline TEXT NOT NULL,
        position INTEGER NOT NULL,
        commit_id TEXT NOT NULL,
        PRIMARY KEY (pipeline, position)
      )`,
      // Pipelines that are gone: nothing will write their output repos any more.
      `CREATE TABLE deleted_pipelines ( -- clustered
        name TEXT NOT NULL PRIMARY KEY,
        deleted_at INTEGER NOT NULL
      )`,
      `CREATE TABLE jobs (
        sequence INTEGER NOT NULL PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        pipeline TEXT NOT NULL,
        pipeline_id TEXT NOT NULL,
        pipeline_version INTEGER NOT NULL,
        salt TEXT NOT NULL,
        inputs_key TEXT NOT NULL,
        parent_job TEXT,
        new_repo TEXT NOT NULL,
        new_branch TEXT NOT NULL,
        new_commit TEXT NOT NULL,
        output_repo TEXT NOT NULL,
        output_branch TEXT NOT NULL,
        output_commit TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        finished_at INTEGER,
        restart_count INTEGER NOT NULL,
        datum_total INTEGER NOT NULL,
        datum_processed INTEGER NOT NULL,
        datum_skipped INTEGER NOT NULL,
        datum_failed INTEGER NOT NULL,
        download_ms INTEGER NOT NULL,
        process_ms INTEGER NOT NULL,
        upload_ms INTEGER NOT NULL,
        download_bytes INTEGER NOT NULL,
        upload_bytes INTEGER NOT NULL,
        base_job TEXT,
        datum_set_root TEXT,
        contributions_root TEXT,
        UNIQUE (pipeline_id, salt, inputs_key, pipeline_version)
      )`,
      `CREATE INDEX jobs_by_pipeline ON jobs (pipeline, sequence)`,
      `CREATE INDEX jobs_by_output ON jobs (output_commit)`,
      `CREATE INDEX jobs_by_state ON jobs (pipeline_id, state, sequence)`,
      `CREATE TABLE job_inputs ( -- clustered
        job TEXT NOT NULL,
        repo TEXT NOT NULL,
        branch TEXT NOT NULL,
        commit_id TEXT NOT NULL,
        PRIMARY KEY (job, repo)
      )`,
      // The inputs and all that they are made from: what a flush of one of these waits for.
      `CREATE TABLE job_provenance ( -- clustered
        commit_id TEXT NOT NULL,
        job TEXT NOT NULL,
        PRIMARY KEY (commit_id, job)
      )`,
      `CREATE INDEX job_provenance_by_job ON job_provenance (job)`,
      `CREATE TABLE datum_results (
        datum TEXT NOT NULL PRIMARY KEY,
        pipeline_id TEXT NOT NULL,
        job TEXT NOT NULL,
        members TEXT NOT NULL,
        output_root TEXT NOT NULL,
        output_bytes INTEGER NOT NULL,
        output_files INTEGER NOT NULL,
        download_ms INTEGER NOT NULL,
        process_ms INTEGER NOT NULL,
        upload_ms INTEGER NOT NULL,
        download_bytes INTEGER NOT NULL,
        upload_bytes INTEGER NOT NULL,
        finished_at INTEGER NOT NULL,
        logs BYTES NOT NULL
      )`,
      `CREATE INDEX datum_results_by_job ON datum_results (job, finished_at, datum)`,
      `CREATE INDEX datum_results_by_pipeline ON datum_results (pipeline_id)`,
      `CREATE TABLE datum_failures (
        job TEXT NOT NULL,
        datum TEXT NOT NULL,
        members TEXT NOT NULL,
        reason TEXT NOT NULL,
        download_ms INTEGER NOT NULL,
        process_ms INTEGER NOT NULL,
        upload_ms INTEGER NOT NULL,
        download_bytes INTEGER NOT NULL,
        upload_bytes INTEGER NOT NULL,
        finished_at INTEGER NOT NULL,
        logs BYTES NOT NULL,
        PRIMARY KEY (job, datum)
      )`,
    ],
    // So that what is known of a commit is found when it is deleted.
    ['CREATE INDEX pipeline_arrivals_by_commit ON pipeline_arrivals (commit_id)'],
    [
      // Not null: the commit became a head in one transaction with others that have the same number,
      // and a job reads all of them or what was before each.
      `ALTER TABLE pipeline_arrivals ADD COLUMN together INTEGER`,
      `CREATE INDEX pipeline_arrivals_by_together ON pipeline_arrivals (pipeline, together, sequence)`,
    ],
    [
      // Says which results can still be reused: '' where the job that made one is gone.
      `ALTER TABLE datum_results ADD COLUMN salt TEXT NOT NULL DEFAULT ''`,
      `UPDATE datum_results SET salt = COALESCE(
        (SELECT jobs.salt FROM jobs WHERE jobs.id = datum_results.job), '')`,
      `CREATE INDEX datum_results_by_salt ON datum_results (pipeline_id, salt, datum)`,
    ],
    // 1: somebody asked for the job; its `inputs_key` ends with a plus sign and its id.
    ['ALTER TABLE jobs ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0'],
    // So that the jobs that gave a datum up are found by it.
    ['CREATE INDEX datum_failures_by_datum ON datum_failures (datum, finished_at)'],
    [
      // Who ran it; '' where that was not noted yet.
      `ALTER TABLE datum_results ADD COLUMN worker TEXT NOT NULL DEFAULT ''`,
      `ALTER TABLE datum_failures ADD COLUMN worker TEXT NOT NULL DEFAULT ''`,
      `CREATE INDEX datum_failures_by_job ON datum_failures (job, finished_at, datum)`,
    ],
    [
      // 1: the error command of the pipeline let the job go on without the datum.
      `ALTER TABLE datum_failures ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0`,
      `ALTER TABLE jobs ADD COLUMN datum_recovered INTEGER NOT NULL DEFAULT 0`,
      // The datum set without the datums that were recovered; null where there are none.
      `ALTER TABLE jobs ADD COLUMN good_set_root TEXT`,
    ],
    [
      // In the order in which results come: keys are random, and each would go to a page of its own.
      `CREATE INDEX datum_results_by_time ON datum_results (pipeline_id, salt, finished_at, datum)`,
      `DROP INDEX datum_results_by_salt`,
      `DROP INDEX datum_results_by_pipeline`,
    ],
    // What the joins and groups of a job's input match, by match key.
    ['ALTER TABLE jobs ADD COLUMN matches_root TEXT'],
    // 1 for a pipeline without inputs, whose code runs for ever.
    ['ALTER TABLE pipelines ADD COLUMN is_spout INTEGER NOT NULL DEFAULT 0'],
    [
      // 1: it ran in an old cluster; what is not known of it, such as its datums, is null.
      'ALTER TABLE jobs ADD COLUMN imported INTEGER NOT NULL DEFAULT 0',
      // Results of an old cluster, until its pipelines are here: then they go to `datum_results`.
      `CREATE TABLE imported_results (
        datum TEXT NOT NULL PRIMARY KEY,
        pipeline_id TEXT NOT NULL,
        salt TEXT NOT NULL,
        job TEXT NOT NULL,
        members TEXT NOT NULL,
        output_root TEXT NOT NULL,
        output_bytes INTEGER NOT NULL,
        output_files INTEGER NOT NULL,
        download_ms INTEGER NOT NULL,
        process_ms INTEGER NOT NULL,
        upload_ms INTEGER NOT NULL,
        download_bytes INTEGER NOT NULL,
        upload_bytes INTEGER NOT NULL,
        finished_at INTEGER NOT NULL,
        worker TEXT NOT NULL,
        logs BYTES NOT NULL
      )`,
    ],
    [
      `CREATE TABLE secrets ( -- clustered
        name TEXT NOT NULL PRIMARY KEY,
        revision TEXT NOT NULL,
        entries TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
      )`,
      // Values, encrypted: docs/formats/secrets.md. Apart, since lists do not need them.
      `CREATE TABLE secret_values ( -- clustered
        name TEXT NOT NULL PRIMARY KEY,
        revision TEXT NOT NULL,
        key_id TEXT NOT NULL,
        sealed BYTES NOT NULL
      )`,
    ],
    // The commit of a job on the branch `stats`; null where there is none.
    ['ALTER TABLE jobs ADD COLUMN stats_commit TEXT'],
    // The port at which the pipeline is reached; null for one that is no service.
    ['ALTER TABLE pipelines ADD COLUMN service_port INTEGER'],
    [
      // What `datum_results.pipeline_id` names: the pipeline's own id or, in a trial, that of the
      // pipeline which is tried.
      `ALTER TABLE pipelines ADD COLUMN lineage_id TEXT NOT NULL DEFAULT ''`,
      `UPDATE pipelines SET lineage_id = id`,
      `CREATE INDEX pipelines_by_lineage ON pipelines (lineage_id)`,
      `ALTER TABLE jobs ADD COLUMN lineage_id TEXT NOT NULL DEFAULT ''`,
      `UPDATE jobs SET lineage_id = pipeline_id`,
      `CREATE INDEX jobs_by_lineage ON jobs (lineage_id, salt, sequence)`,
    ],
    [
      `CREATE TABLE trials ( -- clustered
        name TEXT NOT NULL PRIMARY KEY,
        created_at INTEGER NOT NULL
      )`,
      // The branches that a trial reads in place of others, in the order in which they were given.
      `CREATE TABLE trial_data ( -- clustered
        trial TEXT NOT NULL,
        position INTEGER NOT NULL,
        repo TEXT NOT NULL,
        branch TEXT NOT NULL,
        other TEXT NOT NULL,
        PRIMARY KEY (trial, position)
      )`,
      // Each behind those that it reads. tries: the pipeline of the main line, whose version is
      // based_on (0 where the trial brings a new one); spec: what that becomes by the merge.
      `CREATE TABLE trial_pipelines ( -- clustered
        pipeline TEXT NOT NULL PRIMARY KEY,
        trial TEXT NOT NULL,
        position INTEGER NOT NULL,
        tries TEXT NOT NULL,
        based_on INTEGER NOT NULL,
        is_changed INTEGER NOT NULL,
        spec TEXT NOT NULL
      )`,
      `CREATE INDEX trial_pipelines_by_trial ON trial_pipelines (trial, position)`,
      `CREATE INDEX trial_pipelines_by_tried ON trial_pipelines (tries)`,
    ],
    [
      // Pipelines whose jobs are gone, and may still have rows: see `deleted-jobs.ts`.
      `CREATE TABLE deleted_jobs ( -- clustered
        pipeline_id TEXT NOT NULL PRIMARY KEY,
        lineage_id TEXT NOT NULL
      )`,
      // Writes go to the table; what reads the view cannot see what is gone.
      'ALTER TABLE jobs RENAME TO job_rows',
      `CREATE VIEW jobs AS SELECT * FROM job_rows WHERE NOT EXISTS (
        SELECT 1 FROM deleted_jobs WHERE deleted_jobs.pipeline_id = job_rows.pipeline_id)`,
    ],
    [
      // Of a pipeline, the jobs up to one that have not begun are killed: see `killed-jobs.ts`.
      `CREATE TABLE killed_jobs ( -- clustered
        pipeline_id TEXT NOT NULL PRIMARY KEY,
        sequence INTEGER NOT NULL,
        reason TEXT NOT NULL,
        killed_at INTEGER NOT NULL
      )`,
    ],
    [
      // 1: of a job of an old cluster, a commit that was damaged there and did not come.
      'ALTER TABLE job_inputs ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0',
    ],
    // What counts against the `job_timeout` of its pipeline: not while the server was stopped.
    ['ALTER TABLE job_rows ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0'],
    // What is known to be where a pipeline's outputs are exported to: see `exported-outputs.ts`.
    [
      `CREATE TABLE exported_outputs ( -- clustered
        pipeline_id TEXT NOT NULL PRIMARY KEY,
        pipeline_version INTEGER NOT NULL,
        place TEXT NOT NULL,
        commit_id TEXT,
        exporting TEXT
      )`,
    ],
    // 1: the job was ended while it ran; neither counted nor a reason why the job is as it is.
    ['ALTER TABLE datum_failures ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0'],
    [
      // By name: what a view selects by a star is, elsewhere, what there was when it was made.
      'DROP VIEW jobs',
      `CREATE VIEW jobs AS SELECT sequence, id, pipeline, pipeline_id, pipeline_version, salt, inputs_key, parent_job, new_repo, new_branch,
          new_commit, output_repo, output_branch, output_commit, state, reason, created_at, started_at,
          finished_at, restart_count, datum_total, datum_processed, datum_skipped, datum_failed, download_ms,
          process_ms, upload_ms, download_bytes, upload_bytes, base_job, datum_set_root, contributions_root,
          by_hand, datum_recovered, good_set_root, matches_root, imported, stats_commit, lineage_id, ran_ms
        FROM job_rows WHERE NOT EXISTS (
          SELECT 1 FROM deleted_jobs WHERE deleted_jobs.pipeline_id = job_rows.pipeline_id)`,
    ],
    [
      // The root repos that the commit is made from, by name, a space behind each; null in rows from
      // before it was noted.
      'ALTER TABLE pipeline_arrivals ADD COLUMN roots TEXT',
      // With all that is asked for by them: else the table itself is gone through, in its order.
      `CREATE INDEX pipeline_arrivals_by_roots
        ON pipeline_arrivals (pipeline, position, roots, sequence, commit_id)`,
      `CREATE INDEX pipeline_arrivals_in_sets
        ON pipeline_arrivals (pipeline, position, sequence, together) WHERE together IS NOT NULL`,
      `CREATE INDEX pipeline_arrivals_by_set ON pipeline_arrivals (pipeline, together, position, sequence)`,
      'DROP INDEX pipeline_arrivals_by_together',
    ],
    [
      // The position of an input that has nothing for it, until something comes there that goes with
      // it; -1 where that is not known.
      'ALTER TABLE pipeline_arrivals ADD COLUMN lacks INTEGER NOT NULL DEFAULT -1',
      'DROP INDEX pipeline_arrivals_by_roots',
      `CREATE INDEX pipeline_arrivals_by_lack
        ON pipeline_arrivals (pipeline, position, roots, lacks, sequence, commit_id)`,
    ],
    [
      // What was noted before went by what repos were made from then, and not by the commits: it is
      // found out anew.
      'DROP INDEX pipeline_arrivals_by_lack',
      'UPDATE pipeline_arrivals SET roots = NULL, lacks = -1',
      `CREATE INDEX pipeline_arrivals_by_roots_and_lack
        ON pipeline_arrivals (pipeline, position, roots, lacks, sequence, commit_id)`,
    ],
  ],
}
