import type { Instant } from '../../base/clock.ts'
import { assert } from '../../base/errors.ts'
import type { BranchName, RepoName } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import { findBranch, setHead, type BranchInfo } from '../../versioning/branches.ts'
import type { OnHeadReady, ReadyHead } from '../../versioning/ports.ts'
import { moveCommits } from '../../versioning/repo-moves.ts'
import { removeRepo } from '../../versioning/repos.ts'
import { takeOverArrivals } from '../jobs/arrivals.ts'
import { finishedHead } from '../jobs/input-heads.ts'
import { branchesOf } from '../inputs.ts'
import { keyOfAnother, keyOfInputs } from '../jobs/job-making.ts'
import { moveJob, selectJobs, type JobInput } from '../job-records.ts'
import { killJobs } from '../killed-jobs.ts'
import { statsBranch } from '../specs.ts'
import { placePipeline, type PipelineChanges } from '../specs/pipeline-changes.ts'
import {
  findPipeline,
  forgetPipeline,
  getPipeline,
  type PipelineRecord,
} from '../pipeline-records.ts'
import { removeTrialRecord, type TrialPipeline, type TrialRecord } from './trial-records.ts'

/**
 * Makes what a trial has changed that of the main line: its pipelines become their next versions,
 * its data the heads of their branches, and its commits and jobs those of the main line. Nothing is
 * computed, and nobody sees a part of it. The caller has found no obstacle, and calls `killNotedJobs`.
 */
export async function mergeTrial(
  tx: Transaction,
  {
    changes,
    onHeadReady,
    now,
  }: {
    readonly changes: PipelineChanges
    readonly onHeadReady: OnHeadReady
    readonly now: Instant
  },
  trial: TrialRecord,
): Promise<void> {
  const heads: BranchInfo[] = []
  for (const { repo, branch, other } of trial.data) {
    const theirs = await findBranch(tx, repo, other)
    assert(theirs !== undefined, 'the data of a trial that is merged is there')
    heads.push({ ...theirs, name: branch })
  }
  for (const pipeline of trial.pipelines) {
    heads.push(...(await mergePipeline(tx, { changes, onHeadReady, trial, now }, pipeline)))
  }
  for (const { pipeline } of trial.pipelines.toReversed()) {
    await removeRepo(tx, pipeline)
  }
  await removeTrialRecord(tx, trial.name)
  const ready: ReadyHead[] = []
  const collect: OnHeadReady = async (_, found) => void ready.push(...found)
  for (const head of heads) await setHead(tx, collect, head)
  // They became heads together, so what reads several of them makes one job.
  if (ready.length > 0) await onHeadReady(tx, ready)
}

/** Returns what become the heads of the branches that the pipeline writes, where the trial wrote to them. */
async function mergePipeline(
  tx: Transaction,
  {
    changes,
    onHeadReady,
    trial,
    now,
  }: {
    readonly changes: PipelineChanges
    readonly onHeadReady: OnHeadReady
    readonly trial: TrialRecord
    readonly now: Instant
  },
  { pipeline: name, tries, spec }: TrialPipeline,
): Promise<readonly BranchInfo[]> {
  const tried = await findPipeline(tx, tries)
  const twin = await getPipeline(tx, name)
  const repo = tries as string as RepoName
  const { outputBranch } = spec
  const head = await findBranch(tx, name, outputBranch)
  const stats = spec.enableStats ? await findBranch(tx, name, statsBranch) : undefined
  if (tried !== undefined) {
    await changes.keepOldOutput(tx, tried)
    const reason = `trial ${trial.name} was merged`
    await killJobs(tx, tried.pipelineId, { reason, at: now })
  }
  await takeOverArrivals(tx, twin.name, tries)
  await forgetPipeline(tx, twin)
  const merged: PipelineRecord = {
    ...twin,
    ...(tried !== undefined && { pipelineId: tried.pipelineId, lineageId: tried.lineageId }),
    name: tries,
    version: (tried?.version ?? 0) + 1,
    state: tried?.state === 'paused' ? 'paused' : 'running',
    createdAt: now,
    spec,
  }
  await placePipeline(tx, onHeadReady, merged, now)
  const onto = await finishedHead(tx, { repo, branch: outputBranch })
  const statsOnto = await finishedHead(tx, { repo, branch: statsBranch as BranchName })
  await moveCommits(tx, {
    from: name as string as RepoName,
    to: repo,
    onto: onto?.id,
    heads: stats === undefined ? [] : [{ head: stats.head, onto: statsOnto?.id }],
  })
  await moveJobs(tx, twin, merged)
  return [head, stats].filter((each) => each !== undefined).map((each) => ({ ...each, repo }))
}

/** Has the jobs of a trial's pipeline be those of the merged one, as if it had made them. */
async function moveJobs(
  tx: Transaction,
  twin: PipelineRecord,
  merged: PipelineRecord,
): Promise<void> {
  const before = branchesOf(twin.spec.input)
  const after = branchesOf(merged.spec.input)
  assert(before.length === after.length, 'a pipeline reads as many branches in a trial as outside')
  const moved = (input: JobInput): JobInput => {
    const place = after[before.findIndex(({ repo }) => repo === input.repo)]
    assert(place !== undefined, 'a job reads what its pipeline reads')
    return { repo: place.repo, branch: place.branch, commit: input.commit }
  }
  for (const job of await selectJobs(
    tx,
    'WHERE pipeline_id = ? ORDER BY sequence',
    twin.pipelineId,
  )) {
    const inputs = job.inputs.map(moved)
    const inOrder = after.flatMap(({ repo }) => inputs.filter((input) => input.repo === repo))
    const key = keyOfInputs(inOrder)
    await moveJob(tx, job.id, {
      pipeline: merged.name,
      pipelineId: merged.pipelineId,
      pipelineVersion: merged.version,
      outputRepo: merged.name as string as RepoName,
      outputBranch: merged.spec.outputBranch,
      inputs,
      trigger: moved(job.trigger),
      inputsKey: job.isByHand ? keyOfAnother(key, job.id) : key,
    })
  }
}
