import type { RepoName } from '../base/names.ts'
import type { ReadTransaction } from '../database/database.ts'
import { findCommit } from '../versioning/commit-records.ts'
import type { CommitName, Downstream, DownstreamState } from '../versioning/ports.ts'
import { findRepo } from '../versioning/repos.ts'
import { hasBacklog } from './arrivals.ts'
import { branchesOf } from './inputs.ts'
import { type JobRecord, jobTopic, selectJobs } from './job-records.ts'
import {
  findPipeline,
  pipelineDeletedAt,
  pipelineTopic,
  type PipelineRecord,
} from './pipeline-records.ts'
import { allTrialPipelineNames } from './trial-records.ts'

/** Pipelines are followed upstream at most this far; a longer chain is taken as still pending. */
const chainLengthMax = 1000

/**
 * Tells flush whether a commit can still come to the output repo of a pipeline.
 *
 * It cannot when the pipeline's latest job over the given commits failed or was stopped, or when
 * the same holds for a pipeline upstream of it; when the pipeline is gone; and when nothing under
 * way will hand it the commits. A job that has not been made yet, or whose pipeline is paused, may
 * still come; and whatever people commit by hand to a repo without a pipeline.
 */
export class JobDownstream implements Downstream {
  readonly topics: readonly string[] = [jobTopic, pipelineTopic]

  async state(
    tx: ReadTransaction,
    commits: readonly CommitName[],
    repo: RepoName,
  ): Promise<DownstreamState> {
    if (await isServed(tx, commits, repo)) return { kind: 'none' }
    const seen = new Set<string>()
    const waiting: string[] = [repo]
    while (waiting.length > 0 && seen.size < chainLengthMax) {
      const name = waiting.pop()
      if (name === undefined || seen.has(name)) continue
      seen.add(name)
      // What it comes to is not known yet, and may replace what it came to before.
      if (await isCatchingUp(tx, name)) return { kind: 'pending' }
      const reason = await failureOf(tx, name, commits)
      if (reason !== undefined) return { kind: 'failed', reason }
      const pipeline = await findPipeline(tx, name)
      if (pipeline === undefined) continue
      const dead = await deadEnd(tx, pipeline, commits)
      if (dead !== undefined) return { kind: 'failed', reason: dead }
      for (const atom of branchesOf(pipeline.spec.input)) waiting.push(atom.repo)
    }
    const reason = await hopelessness(tx, commits, repo)
    return reason === undefined ? { kind: 'pending' } : { kind: 'failed', reason }
  }

  async besides(tx: ReadTransaction): Promise<ReadonlySet<string>> {
    return await allTrialPipelineNames(tx)
  }
}

/** A service makes no commits: it is waited for until it shows these, or newer ones. */
async function isServed(
  tx: ReadTransaction,
  commits: readonly CommitName[],
  name: string,
): Promise<boolean> {
  const pipeline = await findPipeline(tx, name)
  if (pipeline?.spec.service === undefined) return false
  const job = await lastJobOver(tx, name, commits)
  return job?.state === 'running' || job?.state === 'killed'
}

async function isCatchingUp(tx: ReadTransaction, name: string): Promise<boolean> {
  const pipeline = await findPipeline(tx, name)
  return pipeline?.state === 'running' && (await hasBacklog(tx, name))
}

async function failureOf(
  tx: ReadTransaction,
  pipeline: string,
  commits: readonly CommitName[],
): Promise<string | undefined> {
  const job = await lastJobOver(tx, pipeline, commits)
  if (job === undefined || (job.state !== 'failure' && job.state !== 'killed')) return undefined
  const what = job.state === 'killed' ? 'was stopped' : 'failed'
  const why = job.reason === '' ? '' : `: ${job.reason}`
  return `job ${job.id} of pipeline ${pipeline} ${what}${why}`
}

async function lastJobOver(
  tx: ReadTransaction,
  pipeline: string,
  commits: readonly CommitName[],
): Promise<JobRecord | undefined> {
  const over = commits.map(
    () => 'AND EXISTS (SELECT 1 FROM job_provenance p WHERE p.job = jobs.id AND p.commit_id = ?)',
  )
  const [job] = await selectJobs(
    tx,
    `WHERE pipeline = ? ${over.join(' ')} ORDER BY sequence DESC LIMIT 1`,
    pipeline,
    ...commits.map(({ id }) => id),
  )
  return job
}

/** Why a pipeline that is to read some of `commits`, and has not, will not; undefined when it may. */
async function deadEnd(
  tx: ReadTransaction,
  { name, state, recentError }: PipelineRecord,
  commits: readonly CommitName[],
): Promise<string | undefined> {
  if (state !== 'failure') return undefined
  const provenance = (await findRepo(tx, name))?.provenance ?? []
  const own = commits.filter(({ repo }) => provenance.includes(repo))
  if (own.length === 0 || (await lastJobOver(tx, name, own)) !== undefined) return undefined
  return `pipeline ${name} has failed: ${recentError}`
}

/** Why no job over all of `commits` will be made for a repo's pipeline; undefined when one may. */
async function hopelessness(
  tx: ReadTransaction,
  commits: readonly CommitName[],
  repo: RepoName,
): Promise<string | undefined> {
  const deletedAt = await pipelineDeletedAt(tx, repo)
  const info = await findRepo(tx, repo)
  if (deletedAt !== undefined && info !== undefined && info.createdAt <= deletedAt) {
    return `pipeline ${repo} was deleted`
  }
  const pipeline = await findPipeline(tx, repo)
  if (pipeline === undefined) return undefined
  if (pipeline.state === 'failure') return `pipeline ${repo} has failed: ${pipeline.recentError}`
  const chances: Chance[] = []
  for (const commit of commits) {
    const chance = await chanceOf(tx, pipeline, commit, new Set())
    if (chance === 'none') return missingText(pipeline, commit)
    chances.push(chance)
  }
  const [first] = commits
  if (first === undefined || chances.includes('coming')) return undefined
  return missingText(pipeline, first)
}

function missingText(pipeline: PipelineRecord, { repo, id }: CommitName): string {
  const branches = branchesOf(pipeline.spec.input)
  const own = branches.find((atom) => atom.repo === repo)
  const where =
    own === undefined
      ? 'nothing made from it will come to what the pipeline reads'
      : `it is not on branch ${own.branch} that the pipeline reads`
  return `no job of pipeline ${pipeline.name} will process commit ${repo}/${id}: ${where}, or its job was deleted, or an input that should come from the same commit has lost its pipeline`
}

/**
 * Whether a pipeline will yet read a commit, or what is made from it. `held`: it has read it, and
 * will again only beside another commit that is `coming`.
 */
type Chance = 'none' | 'held' | 'coming'

async function chanceOf(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  commit: CommitName,
  seen: Set<string>,
): Promise<Chance> {
  // Provenance has no cycles; a pipeline met twice has been asked already.
  if (seen.has(pipeline.name) || seen.size >= chainLengthMax) return 'none'
  seen.add(pipeline.name)
  let best = await ownChance(tx, pipeline, commit)
  for (const atom of branchesOf(pipeline.spec.input)) {
    if (best === 'coming') return best
    best = better(best, await inputChance(tx, atom.repo, commit, seen))
  }
  return best
}

/** What the pipeline's own jobs and arrivals say. */
async function ownChance(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  commit: CommitName,
): Promise<Chance> {
  const { id } = commit
  if (await hasBacklog(tx, pipeline.name)) return 'coming'
  const job = await tx.get(
    `SELECT jobs.id FROM job_provenance p JOIN jobs ON jobs.id = p.job
      WHERE p.commit_id = ? AND jobs.pipeline_id = ? AND jobs.state IN ('starting', 'running')
      LIMIT 1`,
    id,
    pipeline.pipelineId,
  )
  if (job !== undefined) return 'coming'
  const arrivals = await tx.all<{ readonly state: string }>(
    `SELECT DISTINCT state FROM pipeline_arrivals WHERE pipeline = ? AND (commit_id = ?
      OR commit_id IN (SELECT id FROM commit_provenance WHERE ancestor = ?))`,
    pipeline.name,
    id,
    id,
  )
  if (arrivals.some(({ state }) => state !== 'used')) {
    return (await neverFits(tx, pipeline, commit)) ? 'none' : 'coming'
  }
  return arrivals.length > 0 ? 'held' : 'none'
}

/**
 * Whether all that an input has is made from other commits of the repo than `commit`, or from what the
 * pipeline's other inputs have left behind, and nothing more will come to it, since its pipeline was
 * deleted: then no job reads both.
 */
async function neverFits(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  commit: CommitName,
): Promise<boolean> {
  for (const [position, { repo }] of branchesOf(pipeline.spec.input).entries()) {
    if (repo === commit.repo || !(await isWrittenNoMore(tx, repo))) continue
    const fitting = await tx.get(
      `SELECT a.commit_id FROM pipeline_arrivals a WHERE a.pipeline = ? AND a.position = ? AND (
          EXISTS (SELECT 1 FROM commit_provenance WHERE id = a.commit_id AND ancestor = ?)
          OR NOT EXISTS (SELECT 1 FROM commit_provenance p JOIN commits c ON c.id = p.ancestor
            WHERE p.id = a.commit_id AND c.repo = ?))
        AND NOT EXISTS (SELECT 1 FROM commit_provenance p JOIN commits c ON c.id = p.ancestor
            JOIN pipeline_inputs i ON i.pipeline = a.pipeline AND i.repo = c.repo
          WHERE p.id = a.commit_id AND NOT EXISTS (SELECT 1 FROM pipeline_arrivals o
            WHERE o.pipeline = a.pipeline AND o.position = i.position AND o.commit_id = p.ancestor))
        LIMIT 1`,
      pipeline.name,
      position,
      commit.id,
      commit.repo,
    )
    if (fitting === undefined) return true
  }
  return false
}

/** Its pipeline was deleted, and it stayed. */
async function isWrittenNoMore(tx: ReadTransaction, name: RepoName): Promise<boolean> {
  if ((await findPipeline(tx, name)) !== undefined) return false
  const [repo, deletedAt] = [await findRepo(tx, name), await pipelineDeletedAt(tx, name)]
  return repo !== undefined && deletedAt !== undefined && repo.createdAt <= deletedAt
}

/** What may come through a repo that the pipeline reads. */
async function inputChance(
  tx: ReadTransaction,
  input: RepoName,
  commit: CommitName,
  seen: Set<string>,
): Promise<Chance> {
  if (input === commit.repo) {
    const found = await findCommit(tx, commit.repo, commit.id)
    return found?.state.kind === 'open' ? 'coming' : 'none'
  }
  const repo = await findRepo(tx, input)
  if (repo === undefined || !repo.provenance.includes(commit.repo)) return 'none'
  const upstream = await findPipeline(tx, input)
  if (upstream !== undefined) {
    return upstream.state === 'failure' ? 'none' : await chanceOf(tx, upstream, commit, seen)
  }
  return (await isWrittenNoMore(tx, input)) ? 'none' : 'coming'
}

function better(left: Chance, right: Chance): Chance {
  if (left === 'coming' || right === 'coming') return 'coming'
  return left === 'held' ? left : right
}
