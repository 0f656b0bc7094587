import type { RepoName } from '../base/names.ts'
import type { ReadTransaction } from '../database/database.ts'
import { findCommit, findDerivedCommit } from '../versioning/commit-records.ts'
import type { CommitName, Downstream, DownstreamState } from '../versioning/ports.ts'
import { findRepo } from '../versioning/repos.ts'
import { findTrigger } from '../versioning/branch-triggers.ts'
import { findBranch } from '../versioning/branches.ts'
import { isAncestor } from '../versioning/ancestry.ts'
import { hasBacklog } from './jobs/arrivals.ts'
import { commitsAbove } from './jobs/commits-above.ts'
import { cutOffRepos } from './jobs/cut-off-repos.ts'
import { flushCause } from './jobs/flush-causes.ts'
import { hasUnended, lastJobOver, openJobOver } from './jobs/jobs-over.ts'
import { branchesOf } from './inputs.ts'
import { jobTopic } from './job-records.ts'
import { findPipeline, pipelineTopic, type PipelineRecord } from './pipeline-records.ts'
import { lostWriter, Prospects } from './jobs/prospects.ts'
import { allTrialPipelineNames } from './trials/trial-records.ts'

/** Pipelines are followed upstream at most this far; a longer chain is taken as still pending. */
const chainLengthMax = 1000

/**
 * Tells flush whether a commit can still come to the output repo of a pipeline.
 *
 * It cannot when the pipeline's latest job over the given commits failed or was stopped, no other
 * job over them runs or waits, and none upstream of it that may have another one made; when the same
 * holds for a pipeline upstream that has not handed on anything made from them; when the pipeline is
 * gone; and when nothing under way will hand it the commits. A job that has not been made yet, or whose
 * pipeline is paused, may still come; and whatever people commit by hand to a repo without a pipeline.
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
    const waiting: RepoName[] = [repo]
    while (waiting.length > 0 && seen.size < chainLengthMax) {
      const name = waiting.pop()
      if (name === undefined || seen.has(name)) continue
      seen.add(name)
      // What it comes to is not known yet, and may replace what it came to before.
      if (await isCatchingUp(tx, name)) return { kind: 'pending' }
      const own = await commitsAbove(tx, name, commits)
      const pipeline = await findPipeline(tx, name)
      const isOpen = pipeline && (await openJobOver(tx, pipeline, own)) !== undefined
      if (isOpen === true && name === repo) return { kind: 'pending' }
      // What it is to read has come; what comes of it is not known yet.
      if (isOpen === true) continue
      const reason = await failureOf(tx, name, own)
      if (reason !== undefined) {
        if (name !== repo && (await findDerivedCommit(tx, name, own)) !== undefined) continue
        if (pipeline === undefined || !(await mayRunAgain(tx, pipeline, commits))) {
          return { kind: 'failed', reason }
        }
        continue
      }
      if (pipeline === undefined) continue
      const dead = await deadEnd(tx, pipeline, own)
      if (dead !== undefined) return { kind: 'failed', reason: dead }
      for (const atom of branchesOf(pipeline.spec.input)) waiting.push(atom.repo)
    }
    const reason = await hopelessness(tx, commits, repo)
    return reason === undefined ? { kind: 'pending' } : { kind: 'failed', reason }
  }

  async cause(
    tx: ReadTransaction,
    commits: readonly CommitName[],
    repo: RepoName,
  ): Promise<string | undefined> {
    return await flushCause(tx, commits, repo)
  }

  async besides(tx: ReadTransaction): Promise<ReadonlySet<string>> {
    return await allTrialPipelineNames(tx)
  }

  async cutOff(
    tx: ReadTransaction,
    source: RepoName,
    repos: ReadonlySet<RepoName>,
  ): Promise<ReadonlySet<RepoName>> {
    return await cutOffRepos(tx, source, repos)
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

/** Whether jobs upstream over some of `commits` run or wait, or are being made: what they make, it reads. */
async function mayRunAgain(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  commits: readonly CommitName[],
): Promise<boolean> {
  const seen = new Set<string>()
  const waiting = [...branchesOf(pipeline.spec.input)]
  for (const { repo } of waiting) {
    if (seen.has(repo) || seen.size >= chainLengthMax) continue
    seen.add(repo)
    const own = await commitsAbove(tx, repo, commits)
    const upstream = own.length === 0 ? undefined : await findPipeline(tx, repo)
    if (upstream === undefined) continue
    if (await isCatchingUp(tx, repo)) return true
    if ((await openJobOver(tx, upstream, own)) !== undefined) return true
    waiting.push(...branchesOf(upstream.spec.input))
  }
  return false
}

/** With the commits that the pipeline's repo is made from. */
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

/** Why a pipeline that is to read `commits`, and has not, will not; undefined when it may. */
async function deadEnd(
  tx: ReadTransaction,
  { name, state, recentError }: PipelineRecord,
  commits: readonly CommitName[],
): Promise<string | undefined> {
  if (state !== 'failure' || commits.length === 0) return undefined
  if ((await lastJobOver(tx, name, commits)) !== undefined) return undefined
  return `pipeline ${name} has failed: ${recentError}`
}

/** Why no job over all of `commits` will be made for a repo's pipeline; undefined when one may. */
async function hopelessness(
  tx: ReadTransaction,
  commits: readonly CommitName[],
  repo: RepoName,
): Promise<string | undefined> {
  const lost = await lostWriter(tx, repo)
  if (lost !== undefined) return lost
  const pipeline = await findPipeline(tx, repo)
  if (pipeline === undefined) return undefined
  if (pipeline.state === 'failure') return `pipeline ${repo} has failed: ${pipeline.recentError}`
  const prospects = new Prospects(tx)
  const chances: Chance[] = []
  for (const commit of commits) {
    const chance = await chanceOf(tx, pipeline, commit, new Set())
    if (chance === 'none') return await missingText(tx, pipeline, commit, prospects)
    chances.push(chance)
  }
  const [first] = commits
  if (first !== undefined && !chances.includes('coming')) {
    return await missingText(tx, pipeline, first, prospects)
  }
  for (const commit of commits) {
    if (await prospects.mayMake(pipeline, { over: commit })) continue
    const why = endsText(await prospects.endsOf(pipeline))
    return noJobText(
      pipeline,
      commit,
      `its other inputs hold nothing that goes with it, and will not get it${why}`,
    )
  }
  return undefined
}

function noJobText({ name }: PipelineRecord, { repo, id }: CommitName, why: string): string {
  return `no job of pipeline ${name} will process commit ${repo}/${id}: ${why}`
}

function endsText(ends: readonly string[]): string {
  return ends.length === 0 ? '' : ` (${ends.join('; ')})`
}

/** Why a commit that nothing under way brings to a pipeline has no job there. */
async function missingText(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  commit: CommitName,
  prospects: Prospects,
): Promise<string> {
  const atom = branchesOf(pipeline.spec.input).find(({ repo }) => repo === commit.repo)
  if (atom === undefined) {
    const ends = endsText(await prospects.endsOf(pipeline))
    const why = `nothing made from it will come to what the pipeline reads${ends}`
    return noJobText(pipeline, commit, ends === '' ? `${why}, or its job was deleted` : why)
  }
  const { repo, branch } = atom
  const head = await findBranch(tx, repo, branch)
  const isOnBranch = head !== undefined && (await isAncestor(tx, commit.id, head.head))
  if (!isOnBranch) {
    const trigger = await findTrigger(tx, repo, branch)
    const why =
      trigger === undefined
        ? `it is not on branch ${branch} that the pipeline reads`
        : `the trigger of branch ${branch}, which the pipeline reads, has not let it through yet; inspect-branch ${repo} ${branch} shows what it waits for`
    return noJobText(pipeline, commit, why)
  }
  return noJobText(
    pipeline,
    commit,
    `its job was deleted, or newer commits of branch ${branch} were read in its place, or it came before what the pipeline reads`,
  )
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
  if (await hasUnended(tx, pipeline, commit)) return 'coming'
  const arrivals = await tx.all<{ readonly state: string }>(
    `SELECT DISTINCT state FROM pipeline_arrivals WHERE pipeline = ? AND (commit_id = ?
      OR commit_id IN (SELECT id FROM commit_provenance WHERE ancestor = ?))`,
    pipeline.name,
    id,
    id,
  )
  if (arrivals.some(({ state }) => state !== 'used')) return 'coming'
  return arrivals.length > 0 ? 'held' : 'none'
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
  return (await lostWriter(tx, input)) === undefined ? 'coming' : 'none'
}

function better(left: Chance, right: Chance): Chance {
  if (left === 'coming' || right === 'coming') return 'coming'
  return left === 'held' ? left : right
}
