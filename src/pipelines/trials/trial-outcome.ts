import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findBranch } from '../../versioning/branches.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import { isAncestor } from '../../versioning/ancestry.ts'
import { openCommitOf } from '../../versioning/repo-moves.ts'
import { findRepo, reposMadeFrom } from '../../versioning/repos.ts'
import { hasBacklog } from '../jobs/arrivals.ts'
import { branchesOf } from '../inputs.ts'
import { openJobIds, selectJobs, type JobRecord } from '../job-records.ts'
import { findPipeline, type PipelineRecord } from '../pipeline-records.ts'
import type { TrialData, TrialPipeline, TrialRecord } from './trial-records.ts'
import { branchText } from './trial-graph.ts'

/** How far a pipeline of a trial is. */
export interface TrialOutcome {
  readonly pipeline: TrialPipeline
  /** `waiting`: for what a pipeline before it does; `running`: jobs wait or run. */
  readonly state: 'running' | 'waiting' | 'failed' | 'ready'
  /** Why it has failed, or what it waits for; else empty. */
  readonly reason: string
  /** The latest. */
  readonly job: JobRecord | undefined
  /** The heads of what the main line and the trial have written. */
  readonly mainHead: CommitId | undefined
  readonly trialHead: CommitId | undefined
}

export async function outcomesOf(
  tx: ReadTransaction,
  trial: TrialRecord,
): Promise<readonly TrialOutcome[]> {
  const outcomes: TrialOutcome[] = []
  const notReady = new Map<string, TrialOutcome['state']>()
  for (const pipeline of trial.pipelines) {
    const record = await findPipeline(tx, pipeline.pipeline)
    const [job] = await selectJobs(
      tx,
      'WHERE pipeline = ? ORDER BY sequence DESC LIMIT 1',
      pipeline.pipeline,
    )
    const { outputBranch } = pipeline.spec
    const mainHead = (await findBranch(tx, pipeline.tries, outputBranch))?.head
    const trialHead = (await findBranch(tx, pipeline.pipeline, outputBranch))?.head
    const progress = await progressOf(tx, record, { job, mainHead, notReady })
    if (progress.state !== 'ready') notReady.set(pipeline.pipeline, progress.state)
    outcomes.push({ pipeline, job, mainHead, trialHead, ...progress })
  }
  return outcomes
}

async function progressOf(
  tx: ReadTransaction,
  pipeline: PipelineRecord | undefined,
  seen: {
    readonly job: JobRecord | undefined
    readonly mainHead: CommitId | undefined
    readonly notReady: ReadonlyMap<string, TrialOutcome['state']>
  },
): Promise<Pick<TrialOutcome, 'state' | 'reason'>> {
  if (pipeline === undefined) return { state: 'failed', reason: 'it has been deleted' }
  if (pipeline.state === 'failure') return { state: 'failed', reason: pipeline.recentError }
  const openJobs = await openJobIds(tx, pipeline.pipelineId)
  const isBusy = openJobs.length > 0 || (await hasBacklog(tx, pipeline.name))
  if (pipeline.state === 'paused' && isBusy) {
    return { state: 'failed', reason: `it is stopped; start-pipeline ${pipeline.name} starts it` }
  }
  if (isBusy) return { state: 'running', reason: '' }
  const { job, mainHead, notReady } = seen
  if (job !== undefined && job.state !== 'success') {
    return { state: 'failed', reason: `job ${job.id}: ${job.reason || job.state}` }
  }
  for (const { repo } of inputsOf(pipeline)) {
    if (notReady.has(repo)) return { state: 'waiting', reason: `for ${repo}` }
  }
  if (job === undefined && mainHead !== undefined) {
    const repos = inputsOf(pipeline).map(({ repo, branch }) => branchText(repo, branch))
    const reason = `for commits of ${repos.join(' and ')} that are made from the same commits`
    return { state: 'waiting', reason }
  }
  return { state: 'ready', reason: '' }
}

/** Why a trial cannot be merged as things are, for people, each with what to do; none when it can. */
export async function obstacles(
  tx: ReadTransaction,
  trial: TrialRecord,
  outcomes: readonly TrialOutcome[],
): Promise<readonly string[]> {
  const found: string[] = []
  for (const outcome of outcomes) {
    found.push(...(await changesOfMain(tx, trial, outcome.pipeline)))
    const { pipeline, state, reason } = outcome
    if (state === 'running')
      found.push(`pipeline ${pipeline.pipeline} is still running: wait for it`)
    if (state === 'failed') found.push(`pipeline ${pipeline.pipeline} has failed: ${reason}`)
    if (state === 'waiting') found.push(`pipeline ${pipeline.pipeline} waits ${reason}`)
    found.push(...(await usesOfRepo(tx, trial, pipeline)))
  }
  for (const data of trial.data) {
    const obstacle = await dataObstacle(tx, data)
    if (obstacle !== undefined) found.push(obstacle)
  }
  return found
}

async function changesOfMain(
  tx: ReadTransaction,
  { name }: TrialRecord,
  { tries, basedOn }: TrialPipeline,
): Promise<readonly string[]> {
  const now = await findPipeline(tx, tries)
  if ((now?.version ?? 0) === basedOn) return []
  const again = `delete-trial ${name} and create it again`
  if (now === undefined) return [`pipeline ${tries} has been deleted since: ${again}`]
  if (basedOn === 0) return [`pipeline ${tries} has been created since: ${again}`]
  return [
    `pipeline ${tries} has been updated since, from version ${basedOn} to ${now.version}: ${again}`,
  ]
}

/** What others do with the repo of a trial's pipeline, which is to go. */
async function usesOfRepo(
  tx: ReadTransaction,
  trial: TrialRecord,
  { pipeline }: TrialPipeline,
): Promise<readonly string[]> {
  if ((await findRepo(tx, pipeline)) === undefined) return []
  const found = await strangers(tx, trial, pipeline)
  const open = await openCommitOf(tx, pipeline)
  if (open !== undefined) found.push(`commit ${pipeline}/${open} is open: finish or delete it`)
  return found
}

/** Repos that do not belong to the trial and are made from one that does. */
export async function strangers(
  tx: ReadTransaction,
  trial: TrialRecord,
  repo: string,
): Promise<string[]> {
  const own = new Set<string>(trial.pipelines.map((one) => one.pipeline))
  const others = (await reposMadeFrom(tx, repo)).filter((name) => !own.has(name))
  return others.map((name) => `repo ${name} is made from ${repo}: delete it, or what writes it`)
}

async function dataObstacle(tx: ReadTransaction, data: TrialData): Promise<string | undefined> {
  const { repo, branch, other } = data
  const theirs = await findBranch(tx, repo, other)
  if (theirs === undefined) return `branch ${branchText(repo, other)} has been deleted`
  const commit = await findCommit(tx, repo, theirs.head)
  if (commit?.state.kind !== 'finished') {
    return `the head of ${branchText(repo, other)} is open: finish it`
  }
  const ours = await findBranch(tx, repo, branch)
  if (ours === undefined || (await isAncestor(tx, ours.head, theirs.head))) return undefined
  return `${branchText(repo, branch)} has commits that ${branchText(repo, other)} does not have: bring them in with merge-branch ${repo} ${branch} ${other}, which the trial then follows`
}

function inputsOf({ spec }: PipelineRecord): ReturnType<typeof branchesOf> {
  return branchesOf(spec.input)
}
