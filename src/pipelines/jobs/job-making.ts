import { createHash } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { assert } from '../../base/errors.ts'
import type { CommitId, JobId, RepoName } from '../../base/names.ts'
import { newDashedId, newHexId, type Random } from '../../base/random.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import { branchesOf, shapeOf } from '../inputs.ts'
import { insertJob, type JobInput, type JobRecord, type NewJob } from '../job-records.ts'
import { specOfVersion, type PipelineRecord } from '../pipeline-records.ts'
import { hasEnded, parseJobState } from '../states.ts'
import { finishedHead } from './input-heads.ts'

/** Of a key of inputs, without what may follow it. */
const keyLength = 64

/** What a job is to be made over. */
export interface JobOver {
  readonly pipeline: PipelineRecord
  /** A commit for each branch that the pipeline reads, in the order of `branchesOf`. */
  readonly commits: readonly CommitInfo[]
  /** Of the commit that starts the job. */
  readonly triggerPosition: number
}

interface Ports {
  readonly clock: Clock
  readonly random: Random
}

/**
 * Makes a job that commits start, unless one of the same inputs and salt stands: what it made is there,
 * also where a branch was set back to what it had read. A service shows what the branches hold now.
 */
export async function makeJob(tx: Transaction, ports: Ports, over: JobOver): Promise<void> {
  const { pipeline } = over
  const key = keyOfInputs(inputsOf(over))
  const stands = (await latestJobOver(tx, pipeline, key)) !== undefined
  if (stands && !(await servesOthers(tx, over, key))) return
  await insert(tx, ports, over, { isByHand: false })
}

/** Whether a service's latest job is over other commits than these, which are the heads. */
async function servesOthers(
  tx: ReadTransaction,
  { pipeline, commits }: JobOver,
  inputsKey: string,
): Promise<boolean> {
  if (pipeline.spec.service === undefined) return false
  for (const [position, atom] of branchesOf(pipeline.spec.input).entries()) {
    if ((await finishedHead(tx, atom))?.id !== commits[position]?.id) return false
  }
  const latest = await tx.get<{ readonly inputs_key: string }>(
    'SELECT inputs_key FROM jobs WHERE pipeline_id = ? ORDER BY sequence DESC LIMIT 1',
    pipeline.pipelineId,
  )
  return latest?.inputs_key.slice(0, keyLength) !== inputsKey
}

/**
 * Makes a job over the last commits that the history of an updated pipeline has come to, where what
 * stands is not what the pipeline would make of them as it is now; see `isCurrent`.
 */
export async function makeLastJob(tx: Transaction, ports: Ports, over: JobOver): Promise<void> {
  const { pipeline } = over
  if (await isCurrent(tx, pipeline, keyOfInputs(inputsOf(over)))) return
  await insert(tx, ports, over, { isByHand: false })
}

/** Makes a job that somebody asked for, whatever stands. */
export async function makeAskedJob(tx: Transaction, ports: Ports, over: JobOver): Promise<JobId> {
  return await insert(tx, ports, over, { isByHand: true })
}

async function insert(
  tx: Transaction,
  ports: Ports,
  over: JobOver,
  { isByHand }: { readonly isByHand: boolean },
): Promise<JobId> {
  const { pipeline, commits, triggerPosition } = over
  const inputs = inputsOf(over)
  const trigger = inputs[triggerPosition]
  assert(trigger !== undefined, 'the trigger is one of the inputs')
  const provenance = new Set<CommitId>()
  for (const commit of commits) {
    for (const { id } of [commit, ...commit.provenance]) provenance.add(id)
  }
  const parent = commits[triggerPosition]?.parent
  const before = inputs.map((input) =>
    input === trigger && parent !== undefined ? { ...input, commit: parent } : input,
  )
  const made = madeBy(pipeline, ports)
  const key = keyOfInputs(inputs)
  await insertJob(tx, {
    ...made,
    inputsKey: isByHand ? keyOfAnother(key, made.id) : await freeKey(tx, made, key),
    isByHand,
    parentJob:
      parent === undefined ? undefined : await latestJobOver(tx, pipeline, keyOfInputs(before)),
    inputs,
    trigger,
    provenance,
  })
  return made.id
}

function inputsOf({ pipeline, commits }: JobOver): readonly JobInput[] {
  return branchesOf(pipeline.spec.input).map(({ repo, branch }, position) => {
    const commit = commits[position]?.id
    assert(commit !== undefined, 'there is a commit of every input')
    return { repo, branch, commit }
  })
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

/** Of a job beside the one that has the key of its inputs. */
export function keyOfAnother(key: string, id: JobId): string {
  return `${key}+${id}`
}

/**
 * The key of a job's inputs or, where another job of that version of the pipeline has it, or will when
 * it begins, one beside it.
 */
export async function freeKey(
  tx: ReadTransaction,
  job: Pick<NewJob, 'id' | 'pipelineId' | 'salt' | 'pipelineVersion'>,
  key: string,
): Promise<string> {
  const taken = await tx.get(
    `SELECT id FROM jobs WHERE pipeline_id = ? AND salt = ? AND inputs_key = ?
      AND (pipeline_version = ? OR state = 'starting')`,
    job.pipelineId,
    job.salt,
    key,
    job.pipelineVersion,
  )
  return taken === undefined ? key : keyOfAnother(key, job.id)
}

/**
 * Whether the output branch holds, or will, what the pipeline makes of these commits as it is now. It
 * does not where its latest job, but for those that somebody asked for over others, is over other
 * commits, as when an update has it read older ones; failed or was killed as a former version, or went
 * on without some datums, for an update is how people repair it; or made other datums of them, or
 * wrote to another branch. A job that was killed because what it read was deleted is none of them.
 */
async function isCurrent(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  inputsKey: string,
): Promise<boolean> {
  const latest = await tx.get<{
    readonly inputs_key: string
    readonly state: string
    readonly pipeline_version: number
    readonly output_branch: string
    readonly datum_recovered: number
    readonly is_killed: number
  }>(
    `SELECT inputs_key, state, pipeline_version, output_branch, datum_recovered, CASE WHEN sequence <= COALESCE(
        (SELECT k.sequence FROM killed_jobs k WHERE k.pipeline_id = jobs.pipeline_id), 0)
        THEN 1 ELSE 0 END AS is_killed
      FROM jobs
      WHERE lineage_id = ? AND salt = ? AND pipeline_id = ?
        AND (by_hand = 0 OR substr(inputs_key, 1, ${keyLength}) = ?)
        AND NOT (state = 'killed' AND EXISTS (SELECT 1 FROM job_inputs i
          WHERE i.job = jobs.id AND NOT EXISTS (SELECT 1 FROM commits c WHERE c.id = i.commit_id)))
      ORDER BY sequence DESC LIMIT 1`,
    pipeline.lineageId,
    pipeline.salt,
    pipeline.pipelineId,
    inputsKey,
  )
  if (latest === undefined) return false
  const [key] = latest.inputs_key.split('+')
  if (key !== inputsKey) return false
  const { state } = latest
  const isOpen = !hasEnded(parseJobState(state))
  // What waits will run as the pipeline is now.
  if (isOpen) return latest.is_killed === 0
  if (latest.pipeline_version === pipeline.version) return true
  if (state === 'failure' || state === 'killed' || latest.datum_recovered > 0) return false
  const then = await specOfVersion(tx, pipeline.pipelineId, latest.pipeline_version)
  // What an old cluster's pipeline read as a former version is not always known.
  const isShaped = then === undefined || shapeOf(then.input) === shapeOf(pipeline.spec.input)
  return isShaped && latest.output_branch === String(pipeline.spec.outputBranch)
}

/** The job over these commits that they started. */
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

/** The last job that an earlier version of the pipeline had made of the same commits. */
export async function findFormer(tx: ReadTransaction, job: JobRecord): Promise<JobId | undefined> {
  const row = await tx.get<{ readonly id: JobId }>(
    `SELECT former.id FROM job_rows j JOIN jobs former ON former.pipeline_id = j.pipeline_id
        AND former.salt = j.salt AND former.inputs_key = substr(j.inputs_key, 1, ${keyLength})
        AND former.sequence < j.sequence AND former.pipeline_version < j.pipeline_version
      WHERE j.id = ? ORDER BY former.sequence DESC LIMIT 1`,
    job.id,
  )
  return row?.id
}
