import type { Instant } from '../../base/clock.ts'
import { FailedPreconditionError, InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import type { Brand } from '../../base/brand.ts'
import { type BranchName, namingRule, type PipelineName, type RepoName } from '../../base/names.ts'
import type { ReadTransaction, SqlRow, Transaction } from '../../database/database.ts'
import type { PipelineSpec } from '../specs.ts'

export type TrialName = Brand<string, 'TrialName'>

/** A branch that a trial reads in place of another of the same repo. */
export interface TrialData {
  readonly repo: RepoName
  /** What the main line reads, and what the merge moves. */
  readonly branch: BranchName
  readonly other: BranchName
}

/** A pipeline of a trial, which writes a repo of its own name. */
export interface TrialPipeline {
  readonly pipeline: PipelineName
  /** The pipeline of the main line that it stands for. */
  readonly tries: PipelineName
  /** The version of that when the trial began; 0 where the trial brings a new pipeline. */
  readonly basedOn: number
  /** Its spec was given; else it follows from what was. */
  readonly isChanged: boolean
  /** What the pipeline of the main line becomes by the merge. */
  readonly spec: PipelineSpec
}

/** A change of pipelines or data that runs beside the main line. */
export interface TrialRecord {
  readonly name: TrialName
  readonly createdAt: Instant
  readonly data: readonly TrialData[]
  /** Each behind those that it reads. */
  readonly pipelines: readonly TrialPipeline[]
}

export class TrialNotFoundError extends NotFoundError {
  override readonly name = 'TrialNotFoundError'
  readonly trial: string

  constructor(trial: string, options?: ErrorOptions) {
    super(`trial ${trial} not found; list-trial shows those that there are`, options)
    this.trial = trial
  }
}

const nameLengthMax = 63
const repoNameLengthMax = 255

/** @throws {InvalidArgumentError} unless `text` is 1 to 63 ASCII letters, digits, `_` and `-`. */
export function parseTrialName(text: string): TrialName {
  if (text === '') throw new InvalidArgumentError('a trial name is needed, but none was given')
  if (text.length <= nameLengthMax && /^[a-zA-Z0-9_-]+$/.test(text)) return text as TrialName
  throw new InvalidArgumentError(
    `trial name (${text.slice(0, nameLengthMax)}) invalid: only 1 to ${nameLengthMax} ${namingRule}`,
  )
}

/** The name of a pipeline, and of its repo, in a trial. @throws {InvalidArgumentError} when too long. */
export function nameInTrial(pipeline: PipelineName, trial: TrialName): PipelineName {
  const name = `${pipeline}--${trial}`
  if (name.length <= repoNameLengthMax) return name as PipelineName
  throw new InvalidArgumentError(
    `the name of pipeline ${pipeline} in the trial would be too long (${name}): give the trial a shorter name`,
  )
}

export async function insertTrial(tx: Transaction, trial: TrialRecord): Promise<void> {
  const { name, createdAt, data, pipelines } = trial
  await tx.run('INSERT INTO trials (name, created_at) VALUES (?, ?)', name, createdAt)
  for (const [position, { repo, branch, other }] of data.entries()) {
    await tx.run(
      'INSERT INTO trial_data (trial, position, repo, branch, other) VALUES (?, ?, ?, ?, ?)',
      name,
      position,
      repo,
      branch,
      other,
    )
  }
  for (const [position, one] of pipelines.entries()) {
    await tx.run(
      `INSERT INTO trial_pipelines (pipeline, trial, position, tries, based_on, is_changed, spec)
        VALUES (?, ?, ?, ?, ?, ?, ?)`,
      one.pipeline,
      name,
      position,
      one.tries,
      one.basedOn,
      one.isChanged ? 1 : 0,
      JSON.stringify(one.spec),
    )
  }
}

/** The record alone: what the trial runs is its own matter. */
export async function removeTrialRecord(tx: Transaction, name: TrialName): Promise<void> {
  await tx.run('DELETE FROM trial_pipelines WHERE trial = ?', name)
  await tx.run('DELETE FROM trial_data WHERE trial = ?', name)
  await tx.run('DELETE FROM trials WHERE name = ?', name)
}

export async function removeAllTrialRecords(tx: Transaction): Promise<void> {
  for (const table of ['trial_pipelines', 'trial_data', 'trials']) {
    await tx.run(`DELETE FROM ${table}`)
  }
}

interface TrialRow extends SqlRow {
  readonly name: string
  readonly created_at: number
}

interface DataRow extends SqlRow {
  readonly repo: string
  readonly branch: string
  readonly other: string
}

interface TrialPipelineRow extends SqlRow {
  readonly pipeline: string
  readonly tries: string
  readonly based_on: number
  readonly is_changed: number
  readonly spec: string
}

export async function findTrial(
  tx: ReadTransaction,
  name: string,
): Promise<TrialRecord | undefined> {
  const row = await tx.get<TrialRow>('SELECT name, created_at FROM trials WHERE name = ?', name)
  return row === undefined ? undefined : await trialOf(tx, row)
}

/** @throws {TrialNotFoundError} */
export async function getTrial(tx: ReadTransaction, name: string): Promise<TrialRecord> {
  const trial = await findTrial(tx, name)
  if (trial === undefined) throw new TrialNotFoundError(name)
  return trial
}

/** At most `countMax` trials whose names come after `last`, by name. */
export async function trialPage(
  tx: ReadTransaction,
  last: string,
  countMax: number,
): Promise<readonly TrialRecord[]> {
  const rows = await tx.all<TrialRow>(
    'SELECT name, created_at FROM trials WHERE name > ? ORDER BY name LIMIT ?',
    last,
    countMax,
  )
  const trials: TrialRecord[] = []
  for (const row of rows) trials.push(await trialOf(tx, row))
  return trials
}

async function trialOf(tx: ReadTransaction, row: TrialRow): Promise<TrialRecord> {
  const data = await tx.all<DataRow>(
    'SELECT repo, branch, other FROM trial_data WHERE trial = ? ORDER BY position',
    row.name,
  )
  const pipelines = await tx.all<TrialPipelineRow>(
    `SELECT pipeline, tries, based_on, is_changed, spec FROM trial_pipelines
      WHERE trial = ? ORDER BY position`,
    row.name,
  )
  return {
    // Rows are written by this file only, from checked values.
    name: row.name as TrialName,
    createdAt: row.created_at,
    data: data.map((one) => ({
      repo: one.repo as RepoName,
      branch: one.branch as BranchName,
      other: one.other as BranchName,
    })),
    pipelines: pipelines.map((one) => ({
      pipeline: one.pipeline as PipelineName,
      tries: one.tries as PipelineName,
      basedOn: one.based_on,
      isChanged: one.is_changed === 1,
      spec: JSON.parse(one.spec) as PipelineSpec,
    })),
  }
}

/** The names of the pipelines, and so of the repos, of all trials. */
export async function allTrialPipelineNames(tx: ReadTransaction): Promise<ReadonlySet<string>> {
  const rows = await tx.all<{ readonly pipeline: string }>('SELECT pipeline FROM trial_pipelines')
  return new Set(rows.map(({ pipeline }) => pipeline))
}

/** For changes that would pull a trial apart. @throws {FailedPreconditionError} */
export async function refuseTrialPipeline(tx: ReadTransaction, pipeline: string): Promise<void> {
  const row = await tx.get<{ readonly trial: string }>(
    'SELECT trial FROM trial_pipelines WHERE pipeline = ?',
    pipeline,
  )
  if (row === undefined) return
  throw new FailedPreconditionError(
    `pipeline ${pipeline} is a part of trial ${row.trial}: use delete-trial ${row.trial}, and create-trial to try something else`,
  )
}

/** For a pipeline whose results a trial goes on from. @throws {FailedPreconditionError} */
export async function refuseTried(tx: ReadTransaction, pipeline: string): Promise<void> {
  const row = await tx.get<{ readonly trial: string }>(
    'SELECT trial FROM trial_pipelines WHERE tries = ? ORDER BY trial LIMIT 1',
    pipeline,
  )
  if (row === undefined) return
  throw new FailedPreconditionError(
    `pipeline ${pipeline} is tried by trial ${row.trial}: merge-trial or delete-trial ${row.trial} first`,
  )
}
