import { groupedText } from '../../base/counts.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import type { JobId, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import { GatheredEdits } from '../../storage/gathered-edits.ts'
import type { Lease } from '../../storage/leases.ts'
import type { MapDifference, MapRoot } from '../../storage/prolly-map.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import { findBase, treesOf, type BaseJob } from '../jobs/base-jobs.ts'
import { encodeDatum } from '../datums/datum-sets.ts'
import { datumKey } from '../datums.ts'
import { datumSource } from '../discovery/discovery.ts'
import type { DatumSource } from '../discovery/datum-source.ts'
import { IndexReader } from '../discovery/index-reader.ts'
import { MatchIndexes } from '../discovery/match-index.ts'
import type { TreeChange } from '../discovery/matches.ts'
import { findJob, getJob, jobTopic, type JobRecord } from '../job-records.ts'
import type { JobStep } from '../job-steps.ts'
import type { InputTreesOfJob } from '../datums/member-entries.ts'
import type { Output } from '../outputs/outputs.ts'
import type { Transform } from '../executor.ts'
import { specOfVersion } from '../pipeline-records.ts'
import type { PipelineSpec } from '../specs.ts'
import { workerTransform } from '../specs/worker-transform.ts'
import type { RunPorts } from './run-ports.ts'

/** Datums that are put into a datum set at a time; bounds the memory of planning. */
const batchBounds = { countMax: 20_000, bytesMax: 4 * 1024 * 1024 }

/** How many datums are found is told each time that so many more are. */
const toldEach = 1000

/** What a job has to do, compared with the last good job over the same kind of input. */
export interface JobPlan {
  readonly job: JobRecord
  readonly spec: PipelineSpec
  /** What its workers run. */
  readonly transform: Transform
  /** Order key → datum. */
  readonly datumSet: MapRoot
  readonly datumCount: number
  /**
   * The base job's output, and its datums that have a part in it; undefined when there is no job to
   * start from.
   */
  readonly base: { readonly goodSet: MapRoot; readonly output: Output } | undefined
  readonly inputTrees: InputTreesOfJob
  /** For an input with joins or groups; see `JobRecord`. */
  readonly matches: MapRoot | undefined
  /**
   * Of the commit before the one that started the job, in an incremental pipeline: what user code
   * is shown is what is new since then.
   */
  readonly formerTree: DirectoryEntry | undefined
}

/**
 * Finds the job's datums and writes them down, so that a restart goes on from there. Cost: the
 * datums that differ from the base job's. `lease` holds all that the plan names.
 */
export async function planJob(ports: RunPorts, job: PlannedJob, lease: Lease): Promise<JobPlan> {
  for (;;) {
    const plan = await tryPlan(ports, job, lease)
    if (plan !== undefined) return plan
  }
}

interface PlannedJob {
  readonly id: JobId
  /** Told how many datums are found by now. */
  readonly step: JobStep
}

/** Undefined when the base job was deleted meanwhile, perhaps with its results. */
async function tryPlan(
  ports: RunPorts,
  { id, step }: PlannedJob,
  lease: Lease,
): Promise<JobPlan | undefined> {
  step.set('finding its datums')
  using _ = ports.leases.begin()
  const { job, spec, inputTrees, formerTree, base } = await lease.acquire(async () => {
    const found = await ports.database.read((tx) => findPlan(tx, id))
    holdPlan(lease, found)
    return found
  })
  let { datumSet, matches } = job
  if (datumSet === undefined) {
    const changeOf = (repo: RepoName): TreeChange => ({
      before: base?.inputTrees.get(repo),
      after: treeOf(inputTrees, repo),
    })
    matches = await new MatchIndexes(ports).update(base?.matches, spec.input, changeOf)
    const index = matches && new IndexReader(ports.maps, { before: base?.matches, after: matches })
    const source = datumSource(spec.input, { trees: ports.trees, changeOf, index })
    const before = base?.datumSet ?? (await ports.maps.empty())
    datumSet = await editDatumSet(ports, before, { source, job, step })
    await ports.chunks.flush()
    lease.hold({ kind: 'map', root: datumSet })
    if (matches !== undefined) lease.hold({ kind: 'tree', root: matches })
  }
  const datumCount = await ports.maps.size(datumSet)
  const found = { datumSet, matches, datumCount, baseJob: base?.job }
  if (!(await recordPlan(ports, job, found))) return undefined
  const transform = workerTransform(spec)
  return { job, spec, transform, datumSet, matches, datumCount, base, inputTrees, formerTree }
}

interface FoundPlan extends Pick<JobPlan, 'job' | 'spec' | 'inputTrees' | 'formerTree'> {
  readonly base: BaseJob | undefined
}

async function findPlan(tx: ReadTransaction, id: JobId): Promise<FoundPlan> {
  const job = await getJob(tx, id)
  const spec = await specOfJob(tx, job)
  const inputTrees = await treesOf(tx, job.inputs)
  if (inputTrees === undefined) {
    throw new FailedPreconditionError(`an input commit of job ${id} has been deleted`)
  }
  const formerTree = spec.incremental ? await formerTreeOf(tx, job) : undefined
  return { job, spec, inputTrees, formerTree, base: await findBase(tx, job, spec) }
}

/** What the job runs. @throws {FailedPreconditionError} when the pipeline has been deleted. */
export async function specOfJob(tx: ReadTransaction, job: JobRecord): Promise<PipelineSpec> {
  const spec = await specOfVersion(tx, job.pipelineId, job.pipelineVersion)
  if (spec !== undefined) return spec
  throw new FailedPreconditionError(`pipeline ${job.pipeline} has been deleted`)
}

/** Undefined when the commit has no parent, or that is not there any more. */
async function formerTreeOf(
  tx: ReadTransaction,
  { trigger }: JobRecord,
): Promise<DirectoryEntry | undefined> {
  const commit = await findCommit(tx, trigger.repo, trigger.commit)
  if (commit?.parent === undefined) return undefined
  return (await treesOf(tx, [{ ...trigger, commit: commit.parent }]))?.get(trigger.repo)
}

function holdPlan(lease: Lease, { job, inputTrees, formerTree, base }: FoundPlan): void {
  for (const { root } of inputTrees.values()) lease.hold({ kind: 'tree', root })
  if (formerTree !== undefined) lease.hold({ kind: 'tree', root: formerTree.root })
  if (base !== undefined) {
    lease.hold({ kind: 'map', root: base.datumSet })
    lease.hold({ kind: 'map', root: base.goodSet })
    lease.hold({ kind: 'tree', root: base.output.tree.root })
    // A map from (path, order key) to tree entries.
    lease.hold({ kind: 'tree', root: base.output.contributions })
    // A map from (…, match key, …) to tree entries.
    if (base.matches !== undefined) lease.hold({ kind: 'tree', root: base.matches })
  }
  if (job.matches !== undefined) lease.hold({ kind: 'tree', root: job.matches })
  if (job.datumSet !== undefined) lease.hold({ kind: 'map', root: job.datumSet })
}

/**
 * The datums of which the base job had no result (`after`), and those that went (`before`); of the
 * datums of the job, or of `datumSet`, a part of them.
 */
export function changesOf(
  ports: RunPorts,
  plan: JobPlan,
  datumSet: MapRoot = plan.datumSet,
): () => AsyncIterable<MapDifference> {
  return async function* changes() {
    const before = plan.base?.goodSet ?? (await ports.maps.empty())
    yield* ports.maps.diff(before, datumSet)
  }
}

function treeOf(trees: InputTreesOfJob, repo: string): DirectoryEntry {
  const tree = trees.get(repo)
  if (tree === undefined) throw new Error(`invariant broken: job reads no commit of ${repo}`)
  return tree
}

async function editDatumSet(
  ports: RunPorts,
  datumSet: MapRoot,
  {
    source,
    job,
    step,
  }: { readonly source: DatumSource; readonly job: JobRecord; readonly step: JobStep },
): Promise<MapRoot> {
  const edits = new GatheredEdits(batchBounds)
  let root = datumSet
  let foundCount = 0
  const apply = async (): Promise<void> => {
    root = await ports.maps.edit(root, edits.sorted())
    edits.clear()
  }
  for await (const { orderKey } of source.removed()) {
    edits.add({ key: orderKey, value: undefined })
    if (edits.isFull) await apply()
  }
  await apply()
  for await (const { orderKey, members } of source.added()) {
    const turn = ports.turns?.nextOfMany()
    if (turn !== undefined) await turn
    foundCount += 1
    if (foundCount % toldEach === 0) {
      step.set(`finding its datums: ${groupedText(foundCount)} so far`)
    }
    edits.add({ key: orderKey, value: encodeDatum({ key: datumKey(job, members), members }) })
    if (edits.isFull) await apply()
  }
  await apply()
  return root
}

/** False, and nothing is written, when the base job is gone. */
async function recordPlan(
  ports: RunPorts,
  job: JobRecord,
  plan: {
    readonly datumSet: MapRoot
    readonly matches: MapRoot | undefined
    readonly datumCount: number
    readonly baseJob: JobId | undefined
  },
): Promise<boolean> {
  return await ports.database.transact(async (tx) => {
    const { baseJob } = plan
    if (baseJob !== undefined && (await findJob(tx, baseJob)) === undefined) return false
    // An update that came meanwhile has the datums found anew, perhaps of another input.
    await tx.run(
      `UPDATE job_rows SET datum_set_root = ?, matches_root = ?, datum_total = ?, base_job = ?
        WHERE id = ? AND pipeline_version = ?`,
      plan.datumSet,
      plan.matches ?? null,
      plan.datumCount,
      plan.baseJob ?? null,
      job.id,
      job.pipelineVersion,
    )
    await tx.emit(jobTopic, job.id)
    return true
  })
}
