import type { Instant } from '../base/clock.ts'
import { assert, NotFoundError } from '../base/errors.ts'
import type { BranchName, CommitId, JobId, PipelineName, RepoName } from '../base/names.ts'
import type { ReadTransaction, SqlRow, SqlValue, Transaction } from '../database/database.ts'
import type { MapRoot } from '../storage/prolly-map.ts'
import { hasEnded, nextJobStates, parseJobState, type JobState, unendedStates } from './states.ts'
import { noteDeletion } from '../versioning/deletion-notes.ts'
import { statsOf, type ProcessStats } from './process-stats.ts'

/**
 * Events: subject `<job>`, when a job is made, changes state or makes progress, or is removed;
 * `manyJobs` when all of a pipeline are, or are killed.
 */
export const jobTopic = 'jobs'
export const manyJobs = ''

/** Whether an event of `jobTopic` may be about a job. */
export function mayConcern(subject: string, job: JobId): boolean {
  return subject === job || subject === manyJobs
}

/** A commit that a job reads, and the branch through which the pipeline found it. */
export interface JobInput {
  readonly repo: RepoName
  readonly branch: BranchName
  readonly commit: CommitId
}

/** Datums by what became of them. `total` counts all; the rest wait or run. */
export interface DatumCounts {
  readonly total: number
  readonly processed: number
  readonly skipped: number
  readonly failed: number
  /** Failed, and let go by the error command of the pipeline. */
  readonly recovered: number
}

export interface JobRecord {
  readonly id: JobId
  /** Grows with each job that is made. */
  readonly sequence: number
  readonly pipeline: PipelineName
  readonly pipelineId: string
  /** With the salt, what tells results apart: see `Lineage`. */
  readonly lineageId: string
  /** As which version of the pipeline it was made or, once it runs, runs. */
  readonly pipelineVersion: number
  readonly salt: string
  readonly parentJob: JobId | undefined
  readonly inputs: readonly JobInput[]
  /** The input whose commit started the job; of one made by hand, the first that was chosen. */
  readonly trigger: JobInput
  /** Somebody asked for it; else a commit started it. */
  readonly isByHand: boolean
  readonly outputRepo: RepoName
  readonly outputBranch: BranchName
  /**
   * Reserved from the start; the commit exists once the job has succeeded. Empty for one of an old cluster
   * whose output was damaged there.
   */
  readonly outputCommit: CommitId
  readonly state: JobState
  /** Why the state is what it is, for people; often empty. */
  readonly reason: string
  readonly createdAt: Instant
  readonly startedAt: Instant | undefined
  readonly finishedAt: Instant | undefined
  /** How often the job was taken up again after the server had stopped. */
  readonly restartCount: number
  /** How long it has been run, of one whose pipeline has a `job_timeout`: see `JobDeadline`. */
  readonly ranMs: number
  readonly counts: DatumCounts
  readonly stats: ProcessStats
  /** The good job that this one's datums were compared with. */
  readonly baseJob: JobId | undefined
  /** Order key → datum; known once the job runs. */
  readonly datumSet: MapRoot | undefined
  /** The datum set without the datums that were recovered; undefined where there are none. */
  readonly goodSet: MapRoot | undefined
  /**
   * For an input with joins or groups, once the job runs: (join or group, match key, member, path) →
   * what matches.
   */
  readonly matches: MapRoot | undefined
  /** (Output path, order key) → content; known once the job has succeeded. */
  readonly contributions: MapRoot | undefined
  /** What it committed to the branch `stats`, where its pipeline asks for that. */
  readonly statsCommit: CommitId | undefined
  /** It ran in an old cluster: what is not known of it, such as its datums or its end, is unset. */
  readonly isImported: boolean
}

export class JobNotFoundError extends NotFoundError {
  override readonly name = 'JobNotFoundError'
  readonly job: string

  constructor(job: string, options?: ErrorOptions) {
    super(`pachyderm_pps/jobs/ ${job} not found`, options)
    this.job = job
  }
}

interface JobRow extends SqlRow {
  readonly sequence: number
  readonly id: string
  readonly pipeline: string
  readonly pipeline_id: string
  readonly lineage_id: string
  readonly pipeline_version: number
  readonly salt: string
  readonly parent_job: string | null
  readonly new_repo: string
  readonly new_branch: string
  readonly new_commit: string
  readonly output_repo: string
  readonly output_branch: string
  readonly output_commit: string
  readonly state: string
  readonly reason: string
  readonly created_at: number
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly restart_count: number
  readonly ran_ms: number
  readonly datum_total: number
  readonly datum_processed: number
  readonly datum_skipped: number
  readonly datum_failed: number
  readonly datum_recovered: number
  readonly download_ms: number
  readonly process_ms: number
  readonly upload_ms: number
  readonly download_bytes: number
  readonly upload_bytes: number
  readonly base_job: string | null
  readonly datum_set_root: string | null
  readonly good_set_root: string | null
  readonly matches_root: string | null
  readonly contributions_root: string | null
  readonly stats_commit: string | null
  readonly by_hand: number
  readonly imported: number
}

interface JobInputRow extends SqlRow {
  readonly repo: string
  readonly branch: string
  readonly commit_id: string
}

/** A job that is about to be made. */
export interface NewJob {
  readonly id: JobId
  readonly pipeline: PipelineName
  readonly pipelineId: string
  readonly lineageId: string
  readonly pipelineVersion: number
  readonly salt: string
  readonly inputsKey: string
  readonly isByHand: boolean
  readonly parentJob: JobId | undefined
  readonly inputs: readonly JobInput[]
  readonly trigger: JobInput
  /** The inputs and every commit that they are made from. */
  readonly provenance: ReadonlySet<CommitId>
  readonly outputRepo: RepoName
  readonly outputBranch: BranchName
  readonly outputCommit: CommitId
  readonly createdAt: Instant
}

export async function insertJob(tx: Transaction, job: NewJob): Promise<void> {
  const last = await tx.get<{ readonly last: number }>(
    'SELECT COALESCE(MAX(sequence), 0) AS last FROM job_rows',
  )
  await tx.run(
    `INSERT INTO job_rows (sequence, id, pipeline, pipeline_id, pipeline_version, salt, inputs_key,
        parent_job, new_repo, new_branch, new_commit, output_repo, output_branch, output_commit,
        state, reason, created_at, restart_count, datum_total, datum_processed, datum_skipped,
        datum_failed, download_ms, process_ms, upload_ms, download_bytes, upload_bytes, by_hand, lineage_id)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'starting', '', ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?, ?)`,
    (last?.last ?? 0) + 1,
    job.id,
    job.pipeline,
    job.pipelineId,
    job.pipelineVersion,
    job.salt,
    job.inputsKey,
    job.parentJob ?? null,
    job.trigger.repo,
    job.trigger.branch,
    job.trigger.commit,
    job.outputRepo,
    job.outputBranch,
    job.outputCommit,
    job.createdAt,
    job.isByHand ? 1 : 0,
    job.lineageId,
  )
  await insertInputs(tx, job.id, job.inputs)
  for (const commit of job.provenance) {
    await tx.run('INSERT INTO job_provenance (commit_id, job) VALUES (?, ?)', commit, job.id)
  }
  await tx.emit(jobTopic, job.id)
}

async function insertInputs(
  tx: Transaction,
  job: JobId,
  inputs: readonly JobInput[],
): Promise<void> {
  for (const { repo, branch, commit } of inputs) {
    await tx.run(
      'INSERT INTO job_inputs (job, repo, branch, commit_id) VALUES (?, ?, ?, ?)',
      job,
      repo,
      branch,
      commit,
    )
  }
}

export async function findJob(tx: ReadTransaction, id: string): Promise<JobRecord | undefined> {
  return (await selectJobs(tx, 'WHERE id = ?', id))[0]
}

/** Undefined also for one that has ended. */
export async function findOpenJob(tx: ReadTransaction, id: string): Promise<JobRecord | undefined> {
  const job = await findJob(tx, id)
  return job === undefined || hasEnded(job.state) ? undefined : job
}

/** A job that is next in its pipeline; one that waits begins as the pipeline is now. */
export type DueJob = Pick<JobRecord, 'id' | 'pipeline' | 'pipelineVersion'>

/** The oldest job that has not ended of each running pipeline. */
export async function dueJobs(tx: ReadTransaction): Promise<ReadonlyMap<PipelineName, DueJob>> {
  // A search for each pipeline and state, so that ended jobs cost nothing.
  const oldest = `(SELECT MIN(sequence) FROM jobs j WHERE j.pipeline_id = p.id
    AND j.sequence > COALESCE((SELECT k.sequence FROM killed_jobs k WHERE k.pipeline_id = p.id), 0)
    AND j.state = `
  const rows = await tx.all<Pick<JobRow, 'id' | 'pipeline' | 'pipeline_version'>>(
    `SELECT jobs.id, jobs.pipeline,
        CASE jobs.state WHEN 'starting' THEN due.version ELSE jobs.pipeline_version END
          AS pipeline_version
      FROM (SELECT p.version, ${oldest} 'starting') AS waits, ${oldest} 'running') AS runs
        FROM pipelines p WHERE p.state = 'running') AS due
      JOIN jobs ON jobs.sequence = CASE WHEN due.runs IS NULL OR due.waits < due.runs
        THEN due.waits ELSE due.runs END
      ORDER BY jobs.sequence`,
  )
  const due = rows.map((row): DueJob => ({
    id: row.id as JobId,
    pipeline: row.pipeline as PipelineName,
    pipelineVersion: row.pipeline_version,
  }))
  return new Map(due.map((job) => [job.pipeline, job]))
}

/** @throws {JobNotFoundError} */
export async function getJob(tx: ReadTransaction, id: string): Promise<JobRecord> {
  const job = await findJob(tx, id)
  if (job === undefined) throw new JobNotFoundError(id)
  return job
}

/** At most `countMax` jobs of a pipeline, or of all if it is empty, that are older than `after`: newest first. */
export async function jobPage(
  tx: ReadTransaction,
  {
    pipeline,
    after,
    countMax,
  }: {
    readonly pipeline: string
    readonly after: JobRecord | undefined
    readonly countMax: number
  },
): Promise<readonly JobRecord[]> {
  const before = after?.sequence ?? Number.MAX_SAFE_INTEGER
  const order = 'ORDER BY sequence DESC LIMIT ?'
  if (pipeline === '') {
    return await selectJobs(tx, `WHERE sequence < ? ${order}`, before, countMax)
  }
  const condition = `WHERE pipeline = ? AND sequence < ? ${order}`
  return await selectJobs(tx, condition, pipeline, before, countMax)
}

/** Jobs that fit `condition` (SQL from `WHERE` on, over the columns of `jobs`). */
export async function selectJobs(
  tx: ReadTransaction,
  condition: string,
  ...parameters: readonly SqlValue[]
): Promise<readonly JobRecord[]> {
  const jobs: JobRecord[] = []
  for (const row of await tx.all<JobRow>(`SELECT * FROM jobs ${condition}`, ...parameters)) {
    const inputs = await tx.all<JobInputRow>(
      'SELECT repo, branch, commit_id FROM job_inputs WHERE job = ? ORDER BY repo',
      row.id,
    )
    jobs.push(jobOf(row, inputs))
  }
  return jobs
}

/**
 * Moves a job to another state; the table of moves is `nextJobStates`. Does nothing and returns
 * false when it has ended already, or is gone, so that whatever came first stands.
 */
export async function setJobState(
  tx: Transaction,
  id: JobId,
  change: { readonly state: JobState; readonly reason: string; readonly at: Instant },
): Promise<boolean> {
  const job = await findJob(tx, id)
  if (job === undefined || hasEnded(job.state)) return false
  assert(nextJobStates[job.state].includes(change.state), `no move ${job.state} → ${change.state}`)
  await tx.run(
    `UPDATE job_rows SET state = ?, reason = ?, started_at = COALESCE(started_at, ?), finished_at = ?
      WHERE id = ?`,
    change.state,
    change.reason,
    change.state === 'killed' ? (job.startedAt ?? null) : change.at,
    hasEnded(change.state) ? change.at : null,
    id,
  )
  await tx.emit(jobTopic, id)
  return true
}

/** Says what a job is about that still runs what it was planned for. */
export async function noteReason(tx: Transaction, job: JobRecord, reason: string): Promise<void> {
  await tx.run(
    `UPDATE job_rows SET reason = ? WHERE id = ? AND state = 'running' AND pipeline_version = ?`,
    reason,
    job.id,
    job.pipelineVersion,
  )
  await tx.emit(jobTopic, job.id)
}

/** Notes how long a job has been run that has not ended; nothing of it is shown. */
export async function noteRunTime(tx: Transaction, id: JobId, ranMs: number): Promise<void> {
  await tx.run(`UPDATE job_rows SET ran_ms = ? WHERE id = ? AND state = 'running'`, ranMs, id)
}

/** Holds of the jobs of a pipeline that have not ended, and are not about to be killed. */
export const isOpenOfPipeline: string = `pipeline_id = ? AND state IN ${unendedStates}
  AND sequence > COALESCE((SELECT sequence FROM killed_jobs
    WHERE killed_jobs.pipeline_id = jobs.pipeline_id), 0)`

/** The jobs of a pipeline that have not ended, oldest first; no more than `countMax`. */
export async function openJobIds(
  tx: ReadTransaction,
  pipelineId: string,
  countMax: number = Number.MAX_SAFE_INTEGER,
): Promise<readonly JobId[]> {
  const jobs = await tx.all<{ readonly id: string }>(
    `SELECT id FROM jobs WHERE ${isOpenOfPipeline} ORDER BY sequence LIMIT ?`,
    pipelineId,
    countMax,
  )
  return jobs.map(({ id }) => id as JobId)
}

/**
 * Has the jobs of a pipeline that may have begun go on as another version of it; the others take that
 * over when they begin. What is known of their datums is forgotten, for the glob may have changed.
 */
export async function carryOpenJobs(
  tx: Transaction,
  pipelineId: string,
  as: Pick<NewJob, 'pipelineVersion' | 'outputBranch'>,
): Promise<void> {
  const running = `SELECT id FROM jobs WHERE ${isOpenOfPipeline} AND state = 'running'`
  const next = `SELECT id FROM jobs WHERE ${isOpenOfPipeline} AND state = 'starting'
    ORDER BY sequence LIMIT 1`
  for (const query of [running, next]) {
    for (const { id } of await tx.all<{ readonly id: JobId }>(query, pipelineId)) {
      await carryJob(tx, id, as)
    }
  }
}

/** Has a job that has not ended go on as another version of its pipeline. */
export async function carryJob(
  tx: Transaction,
  id: JobId,
  { pipelineVersion, outputBranch }: Pick<NewJob, 'pipelineVersion' | 'outputBranch'>,
): Promise<void> {
  await tx.run(
    `UPDATE job_rows SET pipeline_version = ?, output_branch = ?, datum_set_root = NULL,
      matches_root = NULL, base_job = NULL WHERE id = ?`,
    pipelineVersion,
    outputBranch,
    id,
  )
}

/** Has a job be one of another pipeline, where what it reads has other names. */
export async function moveJob(
  tx: Transaction,
  id: JobId,
  to: Pick<
    NewJob,
    | 'pipeline'
    | 'pipelineId'
    | 'pipelineVersion'
    | 'outputRepo'
    | 'outputBranch'
    | 'inputs'
    | 'trigger'
    | 'inputsKey'
  >,
): Promise<void> {
  await tx.run(
    `UPDATE job_rows SET pipeline = ?, pipeline_id = ?, pipeline_version = ?, output_repo = ?,
        output_branch = ?, new_repo = ?, new_branch = ?, new_commit = ?, inputs_key = ?
      WHERE id = ?`,
    to.pipeline,
    to.pipelineId,
    to.pipelineVersion,
    to.outputRepo,
    to.outputBranch,
    to.trigger.repo,
    to.trigger.branch,
    to.trigger.commit,
    to.inputsKey,
    id,
  )
  await tx.run('DELETE FROM job_inputs WHERE job = ?', id)
  await insertInputs(tx, id, to.inputs)
  await tx.emit(jobTopic, id)
}

/** Removes a job and what only it knows; datum results stay, for they may be reused. */
export async function removeJob(tx: Transaction, id: JobId): Promise<void> {
  await tx.run('DELETE FROM job_rows WHERE id = ?', id)
  await noteDeletion(tx)
  await tx.run('DELETE FROM job_inputs WHERE job = ?', id)
  await tx.run('DELETE FROM job_provenance WHERE job = ?', id)
  await tx.run('DELETE FROM datum_failures WHERE job = ?', id)
  await tx.emit(jobTopic, id)
}

function jobOf(row: JobRow, inputs: readonly JobInputRow[]): JobRecord {
  // Rows are written by this file only, from checked values.
  return {
    id: row.id as JobId,
    sequence: row.sequence,
    pipeline: row.pipeline as PipelineName,
    pipelineId: row.pipeline_id,
    lineageId: row.lineage_id,
    pipelineVersion: row.pipeline_version,
    salt: row.salt,
    parentJob: (row.parent_job ?? undefined) as JobId | undefined,
    inputs: inputs.map(({ repo, branch, commit_id: commit }) => jobInput(repo, branch, commit)),
    trigger: jobInput(row.new_repo, row.new_branch, row.new_commit),
    isByHand: row.by_hand === 1,
    outputRepo: row.output_repo as RepoName,
    outputBranch: row.output_branch as BranchName,
    outputCommit: row.output_commit as CommitId,
    state: parseJobState(row.state),
    reason: row.reason,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    restartCount: row.restart_count,
    ranMs: row.ran_ms,
    counts: {
      total: row.datum_total,
      processed: row.datum_processed,
      skipped: row.datum_skipped,
      failed: row.datum_failed,
      recovered: row.datum_recovered,
    },
    stats: statsOf(row),
    baseJob: (row.base_job ?? undefined) as JobId | undefined,
    datumSet: (row.datum_set_root ?? undefined) as MapRoot | undefined,
    goodSet: (row.good_set_root ?? undefined) as MapRoot | undefined,
    matches: (row.matches_root ?? undefined) as MapRoot | undefined,
    contributions: (row.contributions_root ?? undefined) as MapRoot | undefined,
    statsCommit: (row.stats_commit ?? undefined) as CommitId | undefined,
    isImported: row.imported === 1,
  }
}

function jobInput(repo: string, branch: string, commit: string): JobInput {
  return { repo: repo as RepoName, branch: branch as BranchName, commit: commit as CommitId }
}
