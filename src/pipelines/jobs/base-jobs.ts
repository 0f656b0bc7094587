import type { JobId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { MapRoot } from '../../storage/prolly-map.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import type { RepoName } from '../../base/names.ts'
import { branchesOf, reposInPlace, shapeOf } from '../inputs.ts'
import { findJob, selectJobs, type JobInput, type JobRecord } from '../job-records.ts'
import type { InputTreesOfJob } from '../datums/member-entries.ts'
import type { Output } from '../outputs/outputs.ts'
import { specOfVersion } from '../pipeline-records.ts'
import type { PipelineSpec } from '../specs.ts'

/** The trees of input commits, by repo; undefined when one of them is gone. */
export async function treesOf(
  tx: ReadTransaction,
  inputs: readonly JobInput[],
): Promise<InputTreesOfJob | undefined> {
  const trees = new Map<string, DirectoryEntry>()
  for (const { repo, commit } of inputs) {
    const info = await findCommit(tx, repo, commit)
    if (info?.state.kind !== 'finished') return undefined
    trees.set(repo, { kind: 'directory', ...info.state.tree })
  }
  return trees
}

/** The job that another starts from. */
export interface BaseJob {
  readonly job: JobId
  readonly inputTrees: InputTreesOfJob
  readonly datumSet: MapRoot
  /** Those of them that have a result. */
  readonly goodSet: MapRoot
  /** For an input with joins or groups; see `JobRecord`. */
  readonly matches: MapRoot | undefined
  readonly output: Output
}

/**
 * The job to start from: the one named when this job was planned before, else the latest good one
 * of the pipeline or, where it has none, of its lineage, of the same salt, whose input has the same
 * shape. All that it names must still be there.
 */
export async function findBase(
  tx: ReadTransaction,
  job: JobRecord,
  spec: PipelineSpec,
): Promise<BaseJob | undefined> {
  const candidate =
    job.datumSet === undefined
      ? ((await latestGood(tx, 'pipeline_id', job.pipelineId, job)) ??
        (await latestGood(tx, 'lineage_id', job.lineageId, job)))
      : job.baseJob && (await findJob(tx, job.baseJob))
  if (candidate?.datumSet === undefined || candidate.contributions === undefined) return undefined
  const specThen = await specOfVersion(tx, candidate.pipelineId, candidate.pipelineVersion)
  const repos = specThen && reposOfBase(specThen, spec, candidate.pipelineId === job.pipelineId)
  if (repos === undefined) return undefined
  const treesThen = await treesOf(tx, candidate.inputs)
  const inputTrees =
    treesThen && new Map([...treesThen].map(([repo, tree]) => [repos.get(repo) ?? repo, tree]))
  const commit = await findCommit(tx, candidate.outputRepo, candidate.outputCommit)
  if (inputTrees === undefined || commit?.state.kind !== 'finished') return undefined
  const tree: DirectoryEntry = { kind: 'directory', ...commit.state.tree }
  return {
    job: candidate.id,
    inputTrees,
    datumSet: candidate.datumSet,
    goodSet: candidate.goodSet ?? candidate.datumSet,
    matches: candidate.matches,
    output: { tree, contributions: candidate.contributions },
  }
}

async function latestGood(
  tx: ReadTransaction,
  column: 'pipeline_id' | 'lineage_id',
  id: string,
  job: JobRecord,
): Promise<JobRecord | undefined> {
  const [found] = await selectJobs(
    tx,
    `WHERE ${column} = ? AND salt = ? AND state = 'success' AND sequence < ?
      ORDER BY sequence DESC LIMIT 1`,
    id,
    job.salt,
    job.sequence,
  )
  return found
}

/**
 * The repos that a base job read, each with the one that is read in its place now; undefined when
 * its datums have no part in this job. What a trial reads has another name than what is tried.
 */
function reposOfBase(
  then: PipelineSpec,
  now: PipelineSpec,
  isOwn: boolean,
): ReadonlyMap<string, RepoName> | undefined {
  if (!isOwn) return reposInPlace(then.input, now.input)
  if (shapeOf(then.input) !== shapeOf(now.input)) return undefined
  return new Map(branchesOf(now.input).map(({ repo }) => [repo, repo]))
}
