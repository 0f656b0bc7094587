import type { Clock, Instant } from '../../base/clock.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../../database/database.ts'
import { findRepo } from '../../versioning/repos.ts'
import { branchesOf } from '../inputs.ts'
import { openJobIds, setJobState } from '../job-records.ts'
import { findPipeline, type PipelineRecord, setPipelineState } from '../pipeline-records.ts'
import { repoIsGoneText } from './lost-data.ts'
import { unendedStates } from '../states.ts'

/** A pipeline cannot run: a repo that it reads or writes is gone. */
export class LostRepoError extends FailedPreconditionError {
  override readonly name = 'LostRepoError'
}

/** Jobs that fail in one transaction: each is a row, and an event for those who wait for it. */
const failedAtOnceMax = 100

interface FailingPorts {
  readonly database: Database
  readonly clock: Clock
}

/**
 * Fails a running pipeline when a repo that it reads or writes is gone: it can do nothing until the
 * repo is back and the pipeline is started or updated. With it fail its jobs that have not ended,
 * a few in a transaction; none begins meanwhile. When it stops early, in whatever way, the
 * next call goes on; several at once do no harm. True when one is gone, whoever has failed it.
 */
export async function failIfRepoGone(
  { database, clock }: FailingPorts,
  name: PipelineName,
  signal?: AbortSignal,
): Promise<boolean> {
  for (let isGone = false; ; isGone = true) {
    const at = clock.now()
    const step = await database.transact((tx) => failSome(tx, name, at))
    if (step === 'nothing') return isGone
    if (step === 'last' || signal?.aborted === true) return true
  }
}

async function failSome(
  tx: Transaction,
  name: PipelineName,
  at: Instant,
): Promise<'nothing' | 'some' | 'last'> {
  const pipeline = await findPipeline(tx, name)
  // One that has failed may have been left before all of its jobs had.
  if (pipeline?.state !== 'running' && pipeline?.state !== 'failure') return 'nothing'
  const lost = await lostRepo(tx, pipeline)
  if (lost === undefined) return 'nothing'
  const jobs = await openJobIds(tx, pipeline.pipelineId, failedAtOnceMax)
  if (pipeline.state === 'failure' && jobs.length === 0) return 'last'
  const reason = repoIsGoneText(lost.what, lost.repo)
  if (pipeline.state === 'running') {
    const recentError = `${reason}; ${wayOut(name, lost)}`
    await setPipelineState(tx, name, { state: 'failure', recentError, modifiedAt: at })
  }
  for (const job of jobs) await setJobState(tx, job, { state: 'failure', reason, at })
  return jobs.length === failedAtOnceMax ? 'some' : 'last'
}

/** As `failIfRepoGone`, for each pipeline that reads or writes `repo`. */
export async function failPipelinesWithout(
  ports: FailingPorts,
  repo: string,
  signal: AbortSignal,
): Promise<void> {
  const names = await ports.database.read(async (tx) => {
    if ((await findRepo(tx, repo)) !== undefined) return []
    return await tx.all<NameRow>(
      `SELECT name FROM pipelines WHERE name = ? OR name IN
        (SELECT pipeline FROM pipeline_inputs WHERE repo = ?)`,
      repo,
      repo,
    )
  })
  await failEach(ports, names, signal)
}

/** As `failIfRepoGone`, for every pipeline: of what was deleted, or left, when nobody looked. */
export async function failAllWithoutRepos(ports: FailingPorts, signal: AbortSignal): Promise<void> {
  const names = await ports.database.read((tx) =>
    tx.all<NameRow>(
      `SELECT name FROM pipelines p
        WHERE (state = 'running' OR (state = 'failure' AND EXISTS
            (SELECT 1 FROM jobs j WHERE j.pipeline_id = p.id AND j.state IN ${unendedStates})))
          AND (name NOT IN (SELECT name FROM repos) OR name IN
            (SELECT pipeline FROM pipeline_inputs WHERE repo NOT IN (SELECT name FROM repos)))`,
    ),
  )
  await failEach(ports, names, signal)
}

type NameRow = { readonly name: PipelineName }

async function failEach(
  ports: FailingPorts,
  names: readonly NameRow[],
  signal: AbortSignal,
): Promise<void> {
  for (const { name } of names) {
    if (signal.aborted) return
    await failIfRepoGone(ports, name, signal)
  }
}

/** @throws {LostRepoError} when a repo is gone that the pipeline reads or writes. */
export async function requireRepos(tx: ReadTransaction, pipeline: PipelineRecord): Promise<void> {
  const lost = await lostRepo(tx, pipeline)
  if (lost === undefined) return
  throw new LostRepoError(
    `pipeline ${pipeline.name} cannot run: ${repoIsGoneText(lost.what, lost.repo)}; ` +
      wayOut(pipeline.name, lost),
  )
}

interface LostRepo {
  readonly what: 'input repo' | 'output repo'
  readonly repo: string
}

async function lostRepo(
  tx: ReadTransaction,
  { name, spec }: PipelineRecord,
): Promise<LostRepo | undefined> {
  const inputs = branchesOf(spec.input).map(({ repo }) => repo as string)
  for (const repo of [...inputs, name]) {
    if ((await findRepo(tx, repo)) !== undefined) continue
    return { what: repo === name ? 'output repo' : 'input repo', repo }
  }
  return undefined
}

function wayOut(pipeline: string, { what, repo }: LostRepo): string {
  // Where a pipeline writes, a restore brings nothing.
  const bring =
    what === 'input repo' ? `have a backup bring it with restore --repo ${repo}, or ` : ''
  return `${bring}create it again with create-repo ${repo}, and start-pipeline ${pipeline}, or delete-pipeline ${pipeline} and create it anew`
}
