import type { Instant } from '../../base/clock.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { findRepo } from '../../versioning/repos.ts'
import { branchesOf } from '../inputs.ts'
import { setJobState, waitingJobIds } from '../job-records.ts'
import { findPipeline, type PipelineRecord, setPipelineState } from '../pipeline-records.ts'

/** A pipeline cannot run: a repo that it reads or writes is gone. */
export class LostRepoError extends FailedPreconditionError {
  override readonly name = 'LostRepoError'
}

/**
 * Fails a running pipeline when a repo that it reads or writes is gone, with its jobs that have not
 * begun: it can do nothing until the repo is back and the pipeline is started or updated. False when
 * nothing is gone.
 */
export async function failIfRepoGone(
  tx: Transaction,
  name: PipelineName,
  at: Instant,
): Promise<boolean> {
  const pipeline = await findPipeline(tx, name)
  if (pipeline?.state !== 'running') return false
  const lost = await lostRepo(tx, pipeline)
  if (lost === undefined) return false
  const reason = `the ${lost.what} ${lost.repo} has been deleted`
  const recentError = `${reason}; ${wayOut(name, lost.repo)}`
  await setPipelineState(tx, name, { state: 'failure', recentError, modifiedAt: at })
  for (const job of await waitingJobIds(tx, pipeline.pipelineId)) {
    await setJobState(tx, job, { state: 'failure', reason, at })
  }
  return true
}

/** As `failIfRepoGone`, for each pipeline that reads or writes `repo`. */
export async function failPipelinesWithout(
  tx: Transaction,
  repo: string,
  at: Instant,
): Promise<void> {
  if ((await findRepo(tx, repo)) !== undefined) return
  const rows = await tx.all<{ readonly name: string }>(
    `SELECT name FROM pipelines WHERE name = ? OR name IN
      (SELECT pipeline FROM pipeline_inputs WHERE repo = ?)`,
    repo,
    repo,
  )
  for (const { name } of rows) await failIfRepoGone(tx, name as PipelineName, at)
}

/** As `failIfRepoGone`, for every pipeline: of what was deleted when nobody looked. */
export async function failAllWithoutRepos(tx: Transaction, at: Instant): Promise<void> {
  const rows = await tx.all<{ readonly name: string }>(
    `SELECT name FROM pipelines WHERE state = 'running' AND (
      name NOT IN (SELECT name FROM repos) OR name IN
        (SELECT pipeline FROM pipeline_inputs WHERE repo NOT IN (SELECT name FROM repos)))`,
  )
  for (const { name } of rows) await failIfRepoGone(tx, name as PipelineName, at)
}

/** @throws {LostRepoError} when a repo is gone that the pipeline reads or writes. */
export async function requireRepos(tx: ReadTransaction, pipeline: PipelineRecord): Promise<void> {
  const lost = await lostRepo(tx, pipeline)
  if (lost === undefined) return
  throw new LostRepoError(
    `pipeline ${pipeline.name} cannot run: the ${lost.what} ${lost.repo} has been deleted; ` +
      wayOut(pipeline.name, lost.repo),
  )
}

async function lostRepo(
  tx: ReadTransaction,
  { name, spec }: PipelineRecord,
): Promise<{ readonly what: string; readonly repo: string } | undefined> {
  const inputs = branchesOf(spec.input).map(({ repo }) => repo as string)
  for (const repo of [...inputs, name]) {
    if ((await findRepo(tx, repo)) !== undefined) continue
    return { what: repo === name ? 'output repo' : 'input repo', repo }
  }
  return undefined
}

function wayOut(pipeline: string, repo: string): string {
  return `create it again with create-repo ${repo} and start-pipeline ${pipeline}, or delete-pipeline ${pipeline} and create it anew`
}
