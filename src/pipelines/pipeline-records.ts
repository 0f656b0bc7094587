import type { Instant } from '../base/clock.ts'
import { NotFoundError } from '../base/errors.ts'
import type { PipelineName } from '../base/names.ts'
import type { ReadTransaction, SqlRow, Transaction } from '../database/database.ts'
import { forgetArrivals } from './jobs/arrivals.ts'
import type { Lineage } from './datums.ts'
import { branchesOf } from './inputs.ts'
import type { PipelineSpec } from './specs.ts'
import { parsePipelineState, type PipelineState } from './states.ts'
import { ownedTriggers, releaseTrigger } from '../versioning/branch-triggers.ts'
import { noteDeletion } from '../versioning/deletion-notes.ts'

/** Events: subject `<pipeline>`, when a pipeline is made, changed or deleted. */
export const pipelineTopic = 'pipelines'

/** A pipeline as it is now. */
export interface PipelineRecord extends Lineage {
  readonly name: PipelineName
  /** Made with the pipeline; kept by updates. */
  readonly pipelineId: string
  /** From 1; each update adds one. */
  readonly version: number
  readonly state: PipelineState
  /** Why the state is `failure`; else empty. */
  readonly recentError: string
  readonly createdAt: Instant
  readonly spec: PipelineSpec
}

export class PipelineNotFoundError extends NotFoundError {
  override readonly name = 'PipelineNotFoundError'
  readonly pipeline: string

  constructor(pipeline: string, options?: ErrorOptions) {
    super(
      `pipeline ${pipeline} not found (pachyderm_pps/pipelines/ ${pipeline} not found)`,
      options,
    )
    this.pipeline = pipeline
  }
}

interface PipelineRow extends SqlRow {
  readonly name: string
  readonly id: string
  readonly lineage_id: string
  readonly version: number
  readonly salt: string
  readonly state: string
  readonly recent_error: string
  readonly created_at: number
  readonly modified_at: number
  readonly spec: string
}

const selectPipelines = `SELECT p.name, p.id, p.lineage_id, p.version, p.salt, p.state, p.recent_error, p.created_at, p.modified_at, v.spec
  FROM pipelines p JOIN pipeline_versions v ON v.pipeline_id = p.id AND v.version = p.version`

export async function findPipeline(
  tx: ReadTransaction,
  name: string,
): Promise<PipelineRecord | undefined> {
  const row = await tx.get<PipelineRow>(`${selectPipelines} WHERE p.name = ?`, name)
  return row === undefined ? undefined : pipelineOf(row)
}

/** @throws {PipelineNotFoundError} */
export async function getPipeline(tx: ReadTransaction, name: string): Promise<PipelineRecord> {
  const pipeline = await findPipeline(tx, name)
  if (pipeline === undefined) throw new PipelineNotFoundError(name)
  return pipeline
}

/** A pipeline as lists have it, which are put into order by when it was last written. */
export interface ListedPipeline {
  readonly pipeline: PipelineRecord
  readonly modifiedAt: Instant
}

const onMainLine = 'NOT EXISTS (SELECT 1 FROM trial_pipelines t WHERE t.pipeline = p.name)'

/** At most `countMax` pipelines of the main line whose names come after `last`, by name. */
export async function pipelinePage(
  tx: ReadTransaction,
  last: string,
  countMax: number,
): Promise<readonly ListedPipeline[]> {
  const rows = await tx.all<PipelineRow>(
    `${selectPipelines} WHERE p.name > ? AND ${onMainLine} ORDER BY p.name LIMIT ?`,
    last,
    countMax,
  )
  return rows.map((row) => ({ pipeline: pipelineOf(row), modifiedAt: row.modified_at }))
}

/** The names of all pipelines of the main line, the latest written first, in one page. */
export async function* latestNames(tx: ReadTransaction): AsyncGenerator<readonly PipelineName[]> {
  const rows = await tx.all<{ readonly name: PipelineName }>(
    `SELECT name FROM pipelines p WHERE ${onMainLine} ORDER BY modified_at DESC, name ASC`,
  )
  yield rows.map(({ name }) => name)
}

/** Latest written first. */
export async function allPipelines(tx: ReadTransaction): Promise<readonly PipelineRecord[]> {
  const rows = await tx.all<PipelineRow>(
    `${selectPipelines} ORDER BY p.modified_at DESC, p.name ASC`,
  )
  return rows.map(pipelineOf)
}

/** The running pipelines that have cron inputs, by name. */
export async function cronPipelines(tx: ReadTransaction): Promise<readonly PipelineRecord[]> {
  const rows = await tx.all<PipelineRow>(
    `${selectPipelines} WHERE p.state = 'running' AND v.spec LIKE '%"cron":{%' ORDER BY p.name`,
  )
  return rows.map(pipelineOf)
}

/** The names of the pipelines that are neither stopped nor have failed. */
export async function runningPipelineNames(
  tx: ReadTransaction,
): Promise<ReadonlySet<PipelineName>> {
  const rows = await tx.all<{ readonly name: string }>(
    `SELECT name FROM pipelines WHERE state = 'running'`,
  )
  return new Set(rows.map(({ name }) => name as PipelineName))
}

/** When the pipeline was deleted that last had this name; undefined when one has it, or none had. */
export async function pipelineDeletedAt(
  tx: ReadTransaction,
  name: string,
): Promise<Instant | undefined> {
  const row = await tx.get<{ readonly deleted_at: number }>(
    `SELECT deleted_at FROM deleted_pipelines WHERE name = ?
      AND NOT EXISTS (SELECT 1 FROM pipelines p WHERE p.name = deleted_pipelines.name)`,
    name,
  )
  return row?.deleted_at
}

/** Makes the pipeline or replaces it, with what it reads. */
export async function putPipeline(
  tx: Transaction,
  pipeline: PipelineRecord,
  modifiedAt: Instant,
): Promise<void> {
  await tx.run(
    `INSERT INTO pipelines (name, id, lineage_id, version, salt, state, recent_error, created_at,
        modified_at, is_spout, service_port) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (name) DO UPDATE SET id = excluded.id, lineage_id = excluded.lineage_id,
        version = excluded.version,
        salt = excluded.salt, state = excluded.state, recent_error = excluded.recent_error,
        created_at = excluded.created_at, modified_at = excluded.modified_at,
        is_spout = excluded.is_spout, service_port = excluded.service_port`,
    pipeline.name,
    pipeline.pipelineId,
    pipeline.lineageId,
    pipeline.version,
    pipeline.salt,
    pipeline.state,
    pipeline.recentError,
    pipeline.createdAt,
    modifiedAt,
    pipeline.spec.spout === true ? 1 : 0,
    pipeline.spec.service?.externalPort ?? null,
  )
  await tx.run(
    'INSERT INTO pipeline_versions (pipeline_id, version, spec) VALUES (?, ?, ?)',
    pipeline.pipelineId,
    pipeline.version,
    JSON.stringify(pipeline.spec),
  )
  await writePipelineInputs(tx, pipeline.spec)
  await tx.emit(pipelineTopic, pipeline.name)
}

/** Notes the branches that a spec reads, in place of what was noted of that pipeline. */
export async function writePipelineInputs(tx: Transaction, spec: PipelineSpec): Promise<void> {
  await tx.run('DELETE FROM pipeline_inputs WHERE pipeline = ?', spec.name)
  for (const [position, atom] of branchesOf(spec.input).entries()) {
    await tx.run(
      'INSERT INTO pipeline_inputs (pipeline, position, repo, branch) VALUES (?, ?, ?, ?)',
      spec.name,
      position,
      atom.repo,
      atom.branch,
    )
  }
}

export async function setPipelineState(
  tx: Transaction,
  name: PipelineName,
  change: {
    readonly state: PipelineState
    readonly recentError: string
    readonly modifiedAt: Instant
  },
): Promise<void> {
  await tx.run(
    'UPDATE pipelines SET state = ?, recent_error = ?, modified_at = ? WHERE name = ?',
    change.state,
    change.recentError,
    change.modifiedAt,
    name,
  )
  await tx.emit(pipelineTopic, name)
}

/** What keeps a running pipeline from going on, for people; empty when nothing does any more. */
export async function setRecentError(
  tx: Transaction,
  name: PipelineName,
  recentError: string,
): Promise<void> {
  await tx.run(
    "UPDATE pipelines SET recent_error = ? WHERE name = ? AND state = 'running'",
    recentError,
    name,
  )
}

/** Removes the pipeline and the results that only it could reuse; its jobs stay. */
export async function removePipeline(
  tx: Transaction,
  pipeline: PipelineRecord,
  deletedAt: Instant,
): Promise<void> {
  await tx.run('DELETE FROM pipelines WHERE name = ?', pipeline.name)
  await noteDeletion(tx)
  await tx.run('DELETE FROM pipeline_inputs WHERE pipeline = ?', pipeline.name)
  await tx.run('DELETE FROM exported_outputs WHERE pipeline_id = ?', pipeline.pipelineId)
  await forgetArrivals(tx, pipeline.name)
  for (const trigger of await ownedTriggers(tx, pipeline.name)) await releaseTrigger(tx, trigger)
  await tx.run(
    `INSERT INTO deleted_pipelines (name, deleted_at) VALUES (?, ?)
      ON CONFLICT (name) DO UPDATE SET deleted_at = excluded.deleted_at`,
    pipeline.name,
    deletedAt,
  )
  await tx.emit(pipelineTopic, pipeline.name)
}

/** Removes the pipeline with its versions as if there had been none; nothing may name it any more. */
export async function forgetPipeline(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
  await removePipeline(tx, pipeline, 0)
  await tx.run('DELETE FROM deleted_pipelines WHERE name = ?', pipeline.name)
  await tx.run('DELETE FROM pipeline_versions WHERE pipeline_id = ?', pipeline.pipelineId)
}

/** The spec that a pipeline had as `version`; jobs of former versions still name it. */
export async function specOfVersion(
  tx: ReadTransaction,
  pipelineId: string,
  version: number,
): Promise<PipelineSpec | undefined> {
  const row = await tx.get<{ readonly spec: string }>(
    'SELECT spec FROM pipeline_versions WHERE pipeline_id = ? AND version = ?',
    pipelineId,
    version,
  )
  return row === undefined ? undefined : specOfText(row.spec)
}

function pipelineOf(row: PipelineRow): PipelineRecord {
  return {
    // Rows are written by this file only, from checked values.
    name: row.name as PipelineName,
    pipelineId: row.id,
    lineageId: row.lineage_id,
    version: row.version,
    salt: row.salt,
    state: parsePipelineState(row.state),
    recentError: row.recent_error,
    createdAt: row.created_at,
    spec: specOfText(row.spec),
  }
}

function specOfText(text: string): PipelineSpec {
  // What former releases did not write has the value that they took it to have.
  return { ...laterFields, ...(JSON.parse(text) as PipelineSpec) }
}

const laterFields = { secrets: [], incremental: false } satisfies Partial<PipelineSpec>
