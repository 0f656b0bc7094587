import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { findRepo } from '../../versioning/repos.ts'
import { branchesOf } from '../inputs.ts'
import type { JobRecord } from '../job-records.ts'
import { findPipeline, type PipelineRecord } from '../pipeline-records.ts'
import { hasEnded } from '../states.ts'
import { finishedHead } from './input-heads.ts'
import { lastJobOver } from './last-job.ts'

/** Pipelines that are looked at for one repo. */
const pipelinesMax = 1000

/**
 * Why what is made from commits has not come to a repo yet, in a sentence for people, where somebody
 * may have to do something for it: nearest to the commits, if there is more than one reason. Undefined
 * where jobs just wait or run.
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
  let cause: string | undefined
  const seen = new Set<string>()
  const waiting: RepoName[] = [repo]
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (seen.has(name) || seen.size >= pipelinesMax) continue
    seen.add(name)
    const pipeline = await findPipeline(tx, name)
    const own = await commitsAbove(tx, name, commits)
    if (pipeline === undefined || own.length === 0) continue
    const job = await lastJobOver(tx, name, own)
    if (job !== undefined && hasEnded(job.state)) continue
    cause = causeAt(pipeline, job) ?? (await lackOf(tx, pipeline, own, job)) ?? cause
    if (job !== undefined) continue
    for (const atom of branchesOf(pipeline.spec.input)) waiting.push(atom.repo)
  }
  return cause
}

async function commitsAbove(
  tx: ReadTransaction,
  repo: RepoName,
  commits: readonly CommitName[],
): Promise<readonly CommitName[]> {
  const provenance = (await findRepo(tx, repo))?.provenance ?? []
  return commits.filter((commit) => provenance.includes(commit.repo))
}

function causeAt({ name, state }: PipelineRecord, job: JobRecord | undefined): string | undefined {
  if (state === 'paused') return `pipeline ${name} is stopped: start-pipeline ${name} has it go on`
  if (job === undefined || job.state !== 'running') return undefined
  const what = `job ${job.id} of pipeline ${name}`
  if (job.reason !== '') return `${what}: ${job.reason}`
  return job.datumSet === undefined ? `${what} finds out which datums it has` : undefined
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
    const above = await commitsAbove(tx, atom.repo, commits)
    const isAwaited = above.length > 0 || commits.some(({ repo }) => repo === atom.repo)
    if (isAwaited || (await finishedHead(tx, atom)) !== undefined) continue
    empty.push(`${atom.repo}/${atom.branch}`)
  }
  if (empty.length === 0) return undefined
  return `pipeline ${name} also reads ${empty.join(', ')}, where there is no finished commit yet`
}
