import type { JobId } from '../base/names.ts'
import type { ReadTransaction } from '../database/database.ts'
import type { DirectoryEntry } from '../storage/file-trees.ts'
import type { MapRoot } from '../storage/prolly-map.ts'
import { findCommit } from '../versioning/commit-records.ts'
import { shapeOf } from './inputs.ts'
import { findJob, selectJobs, type JobInput, type JobRecord } from './job-records.ts'
import type { InputTreesOfJob } from './member-entries.ts'
import type { Output } from './outputs.ts'
import { specOfVersion } from './pipeline-records.ts'
import type { PipelineSpec } from './specs.ts'

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
 * of the same salt whose input has the same shape. All that it names must still be there.
 */
export async function findBase(
  tx: ReadTransaction,
  job: JobRecord,
  spec: PipelineSpec,
): Promise<BaseJob | undefined> {
  const candidates =
    job.datumSet === undefined
      ? await selectJobs(
          tx,
          `WHERE pipeline_id = ? AND salt = ? AND state = 'success' AND sequence < ?
            ORDER BY sequence DESC LIMIT 1`,
          job.pipelineId,
          job.salt,
          job.sequence,
        )
      : [job.baseJob === undefined ? undefined : await findJob(tx, job.baseJob)]
  const [candidate] = candidates
  if (candidate?.datumSet === undefined || candidate.contributions === undefined) return undefined
  const specThen = await specOfVersion(tx, candidate.pipelineId, candidate.pipelineVersion)
  if (specThen === undefined || shapeOf(specThen.input) !== shapeOf(spec.input)) return undefined
  const inputTrees = await treesOf(tx, candidate.inputs)
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
