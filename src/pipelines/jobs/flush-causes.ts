import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findBranch } from '../../versioning/branches.ts'
import { findCommit, findDerivedCommit } from '../../versioning/commit-records.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { type AtomInput, branchesOf } from '../inputs.ts'
import { dueJobs, findJob, type JobRecord } from '../job-records.ts'
import { findPipeline, type PipelineRecord } from '../pipeline-records.ts'
import { hasEnded } from '../states.ts'
import { hasBacklog } from './arrivals.ts'
import { commitsAbove } from './commits-above.ts'
import { finishedHead } from './input-heads.ts'
import { lastJobOver, openJobOver } from './jobs-over.ts'
import { type Future, Prospects } from './prospects.ts'

/** Pipelines that are looked at for one repo. */
const pipelinesMax = 1000

/**
 * Why what is made from commits has not come to a repo yet, in a sentence for people: nearest to the
 * commits, if there is more than one reason. Undefined where jobs over them just wait or run, or are
 * about to be made; whatever else is waited for is told.
 */
export async function flushCause(
  tx: ReadTransaction,
  commits: readonly CommitName[],
  repo: RepoName,
): Promise<string | undefined> {
  for (const { repo: source, id } of commits) {
    const commit = await findCommit(tx, source, id)
    if (commit?.state.kind !== 'open') continue
    return `commit ${source}/${id} is open: finish-commit ${source} ${id} has pipelines read it`
  }
  const prospects = new Prospects(tx)
  let [cause, lack]: (string | undefined)[] = []
  let isUnderWay = false
  const seen = new Set<string>()
  const waiting: RepoName[] = [repo]
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (seen.has(name) || seen.size >= pipelinesMax) continue
    seen.add(name)
    const pipeline = await findPipeline(tx, name)
    const own = await commitsAbove(tx, name, commits)
    if (own.length === 0) continue
    if (pipeline === undefined) {
      cause = (await causeByHand(tx, name, own)) ?? cause
      continue
    }
    const job = (await openJobOver(tx, pipeline, own)) ?? (await lastJobOver(tx, name, own))
    const isOver = job !== undefined && hasEnded(job.state)
    if (isOver && name !== repo) continue
    if (!isOver) {
      cause = (await causeAt(tx, pipeline, job)) ?? (await lackOf(tx, pipeline, own, job)) ?? cause
      isUnderWay ||= job !== undefined || (await hasBacklog(tx, name))
    }
    if (job === undefined || isOver) lack = (await awaited(tx, prospects, pipeline, own)) ?? lack
    if (job !== undefined) continue
    for (const atom of branchesOf(pipeline.spec.input)) waiting.push(atom.repo)
  }
  return cause ?? (isUnderWay ? undefined : lack)
}

async function causeAt(
  tx: ReadTransaction,
  { name, state }: PipelineRecord,
  job: JobRecord | undefined,
): Promise<string | undefined> {
  if (state === 'paused') return `pipeline ${name} is stopped: start-pipeline ${name} has it go on`
  if (job === undefined) return undefined
  const what = `job ${job.id} of pipeline ${name}`
  if (job.reason !== '') return `${what}: ${job.reason}`
  if (job.state === 'running') {
    return job.datumSet === undefined ? `${what} finds out which datums it has` : undefined
  }
  const due = (await dueJobs(tx)).get(name)
  const before = due === undefined ? undefined : await findJob(tx, due.id)
  if (before === undefined || before.reason === '') return undefined
  return `${what} waits behind job ${before.id}: ${before.reason}`
}

/** The inputs beside the given commits that hold nothing, where that is why there is no job. */
async function lackOf(
  tx: ReadTransaction,
  { name, spec }: PipelineRecord,
  commits: readonly CommitName[],
  job: JobRecord | undefined,
): Promise<string | undefined> {
  if (job !== undefined) return undefined
  const empty: string[] = []
  for (const atom of branchesOf(spec.input)) {
    const above = await commitsOf(tx, atom.repo, commits)
    if (above.length > 0 || (await finishedHead(tx, atom)) !== undefined) continue
    empty.push(`${atom.repo}/${atom.branch}`)
  }
  if (empty.length === 0) return undefined
  return `pipeline ${name} also reads ${empty.join(', ')}, where there is no finished commit yet`
}

/** Of `commits`, those that are of a repo, or that it is made from. */
async function commitsOf(
  tx: ReadTransaction,
  name: RepoName,
  commits: readonly CommitName[],
): Promise<readonly CommitName[]> {
  const above = await commitsAbove(tx, name, commits)
  return [...above, ...commits.filter(({ repo }) => repo === name)]
}

async function causeByHand(
  tx: ReadTransaction,
  repo: RepoName,
  commits: readonly CommitName[],
): Promise<string | undefined> {
  if ((await findDerivedCommit(tx, repo, commits)) !== undefined) return undefined
  return `no pipeline writes repo ${repo}: a finished commit made from ${namesOf(commits)} is still to be made there`
}

/** What has to come before a pipeline makes a job over commits; undefined when none will be made. */
async function awaited(
  tx: ReadTransaction,
  prospects: Prospects,
  pipeline: PipelineRecord,
  commits: readonly CommitName[],
): Promise<string | undefined> {
  for (const over of commits) if (!(await prospects.mayMake(pipeline, { over }))) return undefined
  const coming: string[] = []
  const lacking: string[] = []
  for (const { atom, future } of await prospects.futuresOf(pipeline)) {
    if (future.kind === 'nothing') continue
    const what = `${atom.repo}/${atom.branch}${await hintAt(tx, atom, future)}`
    coming.push(what)
    let isHeld = true
    const own = await commitsOf(tx, atom.repo, commits)
    for (const commit of own) isHeld &&= await prospects.holds(pipeline, atom, commit)
    if (own.length === 0 || !isHeld) lacking.push(what)
  }
  const where = (lacking.length > 0 ? lacking : coming).join(' or ')
  const doubt = prospects.areKnown ? '' : ', and so much waits that it is not known whether it can'
  return `pipeline ${pipeline.name} has no job over ${namesOf(commits)} yet: what goes with it has to come to ${where}${doubt}`
}

async function hintAt(
  tx: ReadTransaction,
  { repo, branch }: AtomInput,
  future: Future,
): Promise<string> {
  if (future.kind === 'made') {
    const { name, state } = future.by
    return state === 'paused' ? ` (pipeline ${name} is stopped: start-pipeline ${name})` : ''
  }
  if (future.kind === 'followed') {
    return ` (its trigger holds back what is newer: inspect-branch ${repo} ${branch} shows what it waits for)`
  }
  if ((await findBranch(tx, repo, branch)) === undefined) return ' (there is no such branch yet)'
  return (await findPipeline(tx, repo)) === undefined ? ' (no pipeline writes it)' : ''
}

function namesOf(commits: readonly CommitName[]): string {
  const [first, second] = commits
  if (first === undefined) return 'no commits'
  const name = `commit ${first.repo}/${first.id}`
  return second === undefined ? name : `${name} and ${commits.length - 1} others`
}
