import { createHash } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { assert } from '../../base/errors.ts'
import type { CommitId, JobId, RepoName } from '../../base/names.ts'
import { newDashedId, newHexId, type Random } from '../../base/random.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import { branchesOf } from '../inputs.ts'
import { insertJob, type JobInput, type NewJob } from '../job-records.ts'
import type { PipelineRecord } from '../pipeline-records.ts'

/** What a job is to be made over. */
export interface JobOver {
  readonly pipeline: PipelineRecord
  /** A commit for each branch that the pipeline reads, in the order of `branchesOf`. */
  readonly commits: readonly CommitInfo[]
  /** Of the commit that starts the job. */
  readonly triggerPosition: number
  /** Somebody asked for it: it is made though another over the same commits stands. */
  readonly isByHand: boolean
}

/** Makes a job; undefined when one of the same inputs and salt stands, and so nothing is made. */
export async function makeJob(
  tx: Transaction,
  ports: { readonly clock: Clock; readonly random: Random },
  { pipeline, commits, triggerPosition, isByHand }: JobOver,
): Promise<JobId | undefined> {
  const inputs = branchesOf(pipeline.spec.input).map(({ repo, branch }, position): JobInput => {
    const commit = commits[position]?.id
    assert(commit !== undefined, 'there is a commit of every input')
    return { repo, branch, commit }
  })
  const trigger = inputs[triggerPosition]
  assert(trigger !== undefined, 'the trigger is one of the inputs')
  const key = keyOfInputs(inputs)
  if (!isByHand && (await isDone(tx, pipeline, key))) return undefined
  const provenance = new Set<CommitId>()
  for (const commit of commits) {
    for (const { id } of [commit, ...commit.provenance]) provenance.add(id)
  }
  const parent = commits[triggerPosition]?.parent
  const before = inputs.map((input) =>
    input === trigger && parent !== undefined ? { ...input, commit: parent } : input,
  )
  const made = madeBy(pipeline, ports)
  await insertJob(tx, {
    ...made,
    // Apart from the keys of jobs that commits start, of which there is one for each set of inputs.
    inputsKey: isByHand ? `${key}+${made.id}` : key,
    isByHand,
    parentJob:
      parent === undefined ? undefined : await latestJobOver(tx, pipeline, keyOfInputs(before)),
    inputs,
    trigger,
    provenance,
  })
  return made.id
}

/** What a job made now has of the pipeline as it is now, whatever the job's inputs; its ids are new. */
export function madeBy(
  pipeline: PipelineRecord,
  ports: { readonly clock: Clock; readonly random: Random },
): Omit<NewJob, 'inputsKey' | 'isByHand' | 'parentJob' | 'inputs' | 'trigger' | 'provenance'> {
  return {
    id: newDashedId(ports.random) as JobId,
    pipeline: pipeline.name,
    pipelineId: pipeline.pipelineId,
    lineageId: pipeline.lineageId,
    pipelineVersion: pipeline.version,
    salt: pipeline.salt,
    outputRepo: pipeline.name as string as RepoName,
    outputBranch: pipeline.spec.outputBranch,
    outputCommit: newHexId(ports.random) as CommitId,
    createdAt: ports.clock.now(),
  }
}

/** Names a set of input commits: SHA-256 of their repos, branches and ids, in input order. */
export function keyOfInputs(inputs: readonly JobInput[]): string {
  const text = JSON.stringify(inputs.map(({ repo, branch, commit }) => [repo, branch, commit]))
  return createHash('sha256').update(text).digest('hex')
}

/**
 * Whether a job of the same inputs and salt stands. It does not where the pipeline's latest job is
 * that one, or a run of it by hand, and failed or was killed as a former version of the pipeline: an
 * update is how people repair it.
 */
async function isDone(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  inputsKey: string,
): Promise<boolean> {
  if ((await latestJobOver(tx, pipeline, inputsKey)) === undefined) return false
  const latest = await tx.get<{
    readonly inputs_key: string
    readonly salt: string
    readonly state: string
    readonly pipeline_version: number
  }>(
    `SELECT inputs_key, salt, state, pipeline_version FROM jobs
      WHERE pipeline = ? AND pipeline_id = ? ORDER BY sequence DESC LIMIT 1`,
    pipeline.name,
    pipeline.pipelineId,
  )
  assert(latest !== undefined, 'there is a latest job where there is one')
  const [key] = latest.inputs_key.split('+')
  if (key !== inputsKey || latest.salt !== pipeline.salt) return true
  const ended = latest.state === 'failure' || latest.state === 'killed'
  return !ended || latest.pipeline_version === pipeline.version
}

async function latestJobOver(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  inputsKey: string,
): Promise<JobId | undefined> {
  const row = await tx.get<{ readonly id: string }>(
    `SELECT id FROM jobs WHERE pipeline_id = ? AND salt = ? AND inputs_key = ?
      ORDER BY sequence DESC LIMIT 1`,
    pipeline.pipelineId,
    pipeline.salt,
    inputsKey,
  )
  return row?.id as JobId | undefined
}
