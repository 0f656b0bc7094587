import { compareBytes } from '../../base/bytes.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import type { JobId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { Lease } from '../../storage/leases.ts'
import type { MapDifference, MapEdit, MapRoot } from '../../storage/prolly-map.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import { encodeDatum } from '../datum-sets.ts'
import { datumKey, type Datum } from '../datums.ts'
import { datumSource } from '../discovery.ts'
import type { DatumSource } from '../discovery/datum-source.ts'
import { shapeOf } from '../inputs.ts'
import {
  findJob,
  getJob,
  jobTopic,
  selectJobs,
  type JobInput,
  type JobRecord,
} from '../job-records.ts'
import type { Output } from '../outputs.ts'
import { specOfVersion } from '../pipeline-records.ts'
import type { PipelineSpec } from '../specs.ts'
import type { RunPorts } from '../run-ports.ts'

/** Datums that are put into a datum set at a time; bounds the memory of planning. */
const batchDatumCountMax = 20_000
const batchBytesMax = 8 * 1024 * 1024

/** What a job has to do, compared with the last good job over the same kind of input. */
export interface JobPlan {
  readonly job: JobRecord
  readonly spec: PipelineSpec
  /** Order key → datum. */
  readonly datumSet: MapRoot
  readonly datumCount: number
  /** The base job's datum set and output; undefined when there is none to start from. */
  readonly base: { readonly datumSet: MapRoot; readonly output: Output } | undefined
  readonly inputTrees: InputTreesOfJob
}

export type InputTreesOfJob = ReadonlyMap<string, DirectoryEntry>

/**
 * Finds the job's datums and writes them down, so that a restart goes on from there. Cost: the
 * datums that differ from the base job's. `lease` holds all that the plan names.
 */
export async function planJob(ports: RunPorts, id: JobId, lease: Lease): Promise<JobPlan> {
  using _ = ports.leases.begin()
  const { job, spec, inputTrees, base } = await lease.acquire(async () => {
    const found = await ports.database.read((tx) => findPlan(tx, id))
    holdPlan(lease, found)
    return found
  })
  let datumSet = job.datumSet
  if (datumSet === undefined) {
    const source = datumSource(ports.trees, spec.input, (repo) => ({
      before: base?.inputTrees.get(repo),
      after: treeOf(inputTrees, repo),
    }))
    datumSet = await editDatumSet(ports, base?.datumSet ?? (await ports.maps.empty()), source, job)
    await ports.chunks.flush()
    lease.hold({ kind: 'map', root: datumSet })
  }
  const datumCount = await ports.maps.size(datumSet)
  await recordPlan(ports, job, { datumSet, datumCount, baseJob: base?.job })
  return { job, spec, datumSet, datumCount, base, inputTrees }
}

interface FoundPlan extends Pick<JobPlan, 'job' | 'spec' | 'inputTrees'> {
  readonly base: Base | undefined
}

async function findPlan(tx: ReadTransaction, id: JobId): Promise<FoundPlan> {
  const job = await getJob(tx, id)
  const spec = await specOfVersion(tx, job.pipelineId, job.pipelineVersion)
  if (spec === undefined) {
    throw new FailedPreconditionError(`pipeline ${job.pipeline} has been deleted`)
  }
  const inputTrees = await treesOf(tx, job.inputs)
  if (inputTrees === undefined) {
    throw new FailedPreconditionError(`an input commit of job ${id} has been deleted`)
  }
  return { job, spec, inputTrees, base: await findBase(tx, job, spec) }
}

function holdPlan(lease: Lease, { job, inputTrees, base }: FoundPlan): void {
  for (const { root } of inputTrees.values()) lease.hold({ kind: 'tree', root })
  if (base !== undefined) {
    lease.hold({ kind: 'map', root: base.datumSet })
    lease.hold({ kind: 'tree', root: base.output.tree.root })
    // A map from (path, order key) to tree entries.
    lease.hold({ kind: 'tree', root: base.output.contributions })
  }
  if (job.datumSet !== undefined) lease.hold({ kind: 'map', root: job.datumSet })
}

/** The datums that the base job did not have (`after`), and those that went (`before`). */
export function changesOf(ports: RunPorts, plan: JobPlan): () => AsyncIterable<MapDifference> {
  return async function* changes() {
    const before = plan.base?.datumSet ?? (await ports.maps.empty())
    yield* ports.maps.diff(before, plan.datumSet)
  }
}

function treeOf(trees: InputTreesOfJob, repo: string): DirectoryEntry {
  const tree = trees.get(repo)
  if (tree === undefined) throw new Error(`invariant broken: job reads no commit of ${repo}`)
  return tree
}

/** The trees of input commits, by repo; undefined when one of them is gone. */
async function treesOf(
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

interface Base {
  readonly job: JobId
  readonly inputTrees: InputTreesOfJob
  readonly datumSet: MapRoot
  readonly output: Output
}

/**
 * The job to start from: the one named when this job was planned before, else the latest good one
 * of the same salt whose input has the same shape. All that it names must still be there.
 */
async function findBase(
  tx: ReadTransaction,
  job: JobRecord,
  spec: PipelineSpec,
): Promise<Base | undefined> {
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
    output: { tree, contributions: candidate.contributions },
  }
}

function removalOf(datum: Datum): MapEdit {
  return { key: datum.orderKey, value: undefined }
}

async function editDatumSet(
  ports: RunPorts,
  datumSet: MapRoot,
  source: DatumSource,
  job: JobRecord,
): Promise<MapRoot> {
  let root = datumSet
  const edit = async (batch: MapEdit[]): Promise<void> => {
    batch.sort((left, right) => compareBytes(left.key, right.key))
    root = await ports.maps.edit(root, batch)
  }
  const additionOf = ({ orderKey, members }: Datum): MapEdit => ({
    key: orderKey,
    value: encodeDatum({ key: datumKey(job, members), members }),
  })
  await inBatches(source.removed(), removalOf, edit)
  await inBatches(source.added(), additionOf, edit)
  return root
}

async function inBatches(
  datums: AsyncIterable<Datum>,
  editOf: (datum: Datum) => MapEdit,
  apply: (batch: MapEdit[]) => Promise<void>,
): Promise<void> {
  let batch: MapEdit[] = []
  let batchBytes = 0
  for await (const datum of datums) {
    const edit = editOf(datum)
    batch.push(edit)
    batchBytes += edit.key.length + (edit.value?.length ?? 0)
    if (batch.length < batchDatumCountMax && batchBytes < batchBytesMax) continue
    await apply(batch)
    batch = []
    batchBytes = 0
  }
  if (batch.length > 0) await apply(batch)
}

async function recordPlan(
  ports: RunPorts,
  job: JobRecord,
  plan: {
    readonly datumSet: MapRoot
    readonly datumCount: number
    readonly baseJob: JobId | undefined
  },
): Promise<void> {
  await ports.database.transact(async (tx) => {
    await tx.run(
      'UPDATE jobs SET datum_set_root = ?, datum_total = ?, base_job = ? WHERE id = ?',
      plan.datumSet,
      plan.datumCount,
      plan.baseJob ?? null,
      job.id,
    )
    await tx.emit(jobTopic, job.id)
  })
}
