import { CancelledError } from '../base/errors.ts'
import type { JobId, PipelineName, RepoName } from '../base/names.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import { contentSizeBytes } from '../storage/contents.ts'
import { rootPath } from '../base/paths.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { FileTrees, TreeEntry } from '../storage/file-trees.ts'
import type { Lease, Leases } from '../storage/leases.ts'
import type { MapRoot, ProllyMaps } from '../storage/prolly-map.ts'
import { hasBacklog } from './jobs/arrivals.ts'
import { findBase, treesOf, type BaseJob } from './jobs/base-jobs.ts'
import { findResults } from './datum-results.ts'
import { datumKey, type Datum, type DatumKey, type DatumMember } from './datums.ts'
import { datumSource } from './discovery/discovery.ts'
import type { DatumSource } from './discovery/datum-source.ts'
import { groupOf } from './discovery/group-members.ts'
import { IndexReader } from './discovery/index-reader.ts'
import { MatchIndexes } from './discovery/match-index.ts'
import type { TreeChange } from './discovery/matches.ts'
import { finishedHead } from './jobs/input-heads.ts'
import { atomsOf, branchesOf } from './inputs.ts'
import { isOpenOfPipeline, openJobIds, selectJobs, type JobRecord } from './job-records.ts'
import { memberEntry, type InputTreesOfJob } from './datums/member-entries.ts'
import { allPipelines, type PipelineRecord } from './pipeline-records.ts'
import type { Pipelines, Rehearsal, UpdateOptions } from './pipelines.ts'
import type { RequestedSpec } from './requested-specs.ts'

/** A job that would run if a spec were stored. */
export interface PlannedJob {
  /** An id only of a job that is there already, and would go on with the new spec. */
  readonly job: JobId | undefined
  readonly inputs: JobRecord['inputs']
  /** All datums, and those without a result: what user code would run for. */
  readonly datumCount: number
  readonly processedCount: number
  /** What user code would read. */
  readonly processedBytes: number
  /**
   * `processed…` may be too much: there are too many datums to know which come again in a later job,
   * or the pipeline is incremental, and only what is new in a datum is read.
   */
  readonly isAtMost: boolean
}

/** What would come of storing a spec, but for what its jobs would run. */
export interface PlanOutline {
  readonly pipeline: PipelineName
  /** The version that the pipeline would have. */
  readonly version: number
  readonly isUpdate: boolean
  /** It would read nothing, and its code would run for ever: no jobs are planned. */
  readonly isSpout: boolean
  /** Jobs that would be stopped. */
  readonly stopped: readonly JobId[]
  /** Pipelines that read what this one would write. */
  readonly readers: readonly PipelineName[]
  /** Input branches that hold no finished commit: nothing runs before they do. */
  readonly emptyBranches: readonly string[]
  /** More jobs than are planned here follow from what the branches hold. */
  readonly isCut: boolean
  readonly notices: readonly string[]
  readonly jobCount: number
}

export type PlanStep =
  | { readonly kind: 'outline'; readonly outline: PlanOutline }
  | { readonly kind: 'job'; readonly job: PlannedJob }

/** Jobs of one plan; that there would be more is said. */
const plannedJobCountMax = 100
/** Datums that are looked up in one query. */
const lookupCountMax = 500
/** Keys of which it is remembered that an earlier planned job has them: some 100 bytes each. */
const rememberedKeyCountMax = 250_000

/** Says what a spec would run, and stores nothing. */
export class PipelinePlans {
  readonly #database: Database
  readonly #chunks: ChunkStore
  readonly #maps: ProllyMaps
  readonly #trees: FileTrees
  readonly #leases: Leases
  readonly #pipelines: Pipelines

  constructor(ports: {
    readonly database: Database
    readonly chunks: ChunkStore
    readonly maps: ProllyMaps
    readonly trees: FileTrees
    readonly leases: Leases
    readonly pipelines: Pipelines
  }) {
    this.#database = ports.database
    this.#chunks = ports.chunks
    this.#maps = ports.maps
    this.#trees = ports.trees
    this.#leases = ports.leases
    this.#pipelines = ports.pipelines
  }

  /**
   * What storing a spec as `create`, or as `update` where the pipeline exists, would come to: first
   * the outline, then its jobs, oldest first. Each job is counted when it is asked for; the cost is
   * its datums that differ.
   *
   * @throws what `create` and `update` throw.
   */
  async *plan(
    request: RequestedSpec,
    options: UpdateOptions,
    signal: AbortSignal,
  ): AsyncGenerator<PlanStep> {
    using lease = this.#leases.beginReading()
    const seen = await lease.acquire(async () => {
      const found = await this.#pipelines.rehearse(request, options, lookAt)
      const trees = [...found.jobs.map((job) => job.trees), found.base?.inputTrees ?? new Map()]
      for (const { root } of trees.flatMap((tree) => [...tree.values()])) {
        lease.hold({ kind: 'tree', root })
      }
      // A map from (…, match key, …) to tree entries.
      if (found.base?.matches !== undefined) {
        lease.hold({ kind: 'tree', root: found.base.matches })
      }
      return found
    })
    yield { kind: 'outline', outline: seen.outline }
    for await (const job of this.#count(seen, lease, signal)) yield { kind: 'job', job }
  }

  async *#count(seen: Seen, lease: Lease, signal: AbortSignal): AsyncGenerator<PlannedJob> {
    const { pipeline, jobs } = seen
    let before: JobScene | undefined = seen.base && {
      trees: seen.base.inputTrees,
      matches: seen.base.matches,
    }
    let datumCount = seen.base?.datumCount ?? 0
    const known = jobs.length > 1 || namesRepeat(pipeline) ? new KnownKeys() : undefined
    for (const { job, trees, isCarried } of jobs) {
      const after = { trees, matches: await this.#matches(lease, pipeline, before, trees) }
      const counter = { pipeline, trees, known, signal }
      const added = await this.#added(counter, this.#source(pipeline, before, after))
      let goneCount = 0
      if (before !== undefined) {
        // What the earlier job has otherwise, or has and the later one has not.
        for await (const _ of this.#source(pipeline, after, before).added()) {
          goneCount += 1
          throwIfAborted(signal)
        }
      }
      datumCount += added.datumCount - goneCount
      yield {
        job: isCarried ? job.id : undefined,
        inputs: job.inputs,
        datumCount,
        processedCount: added.processedCount,
        processedBytes: added.processedBytes,
        isAtMost: known?.isFull === true || pipeline.spec.incremental,
      }
      before = after
    }
  }

  /**
   * What the joins and groups of the input would match. It is written, and once `lease` ends nothing
   * refers to it.
   */
  async #matches(
    lease: Lease,
    { spec }: PipelineRecord,
    before: JobScene | undefined,
    after: InputTreesOfJob,
  ): Promise<MapRoot | undefined> {
    using _ = this.#leases.begin()
    const indexes = new MatchIndexes({ maps: this.#maps, trees: this.#trees })
    const changeOf = changesBetween(before?.trees, after)
    const matches = await indexes.update(before?.matches, spec.input, changeOf)
    if (matches === undefined) return undefined
    await this.#chunks.flush()
    lease.hold({ kind: 'tree', root: matches })
    return matches
  }

  #source({ spec }: PipelineRecord, before: JobScene | undefined, after: JobScene): DatumSource {
    const { trees, matches } = after
    const index =
      matches && new IndexReader(this.#maps, { before: before?.matches, after: matches })
    const changeOf = changesBetween(before?.trees, trees)
    return datumSource(spec.input, { trees: this.#trees, changeOf, index })
  }

  async #added(
    counter: Counter,
    source: DatumSource,
  ): Promise<{ datumCount: number; processedCount: number; processedBytes: number }> {
    const counts = { datumCount: 0, processedCount: 0, processedBytes: 0 }
    const look = async (batch: readonly Datum[]): Promise<void> => {
      throwIfAborted(counter.signal)
      for (const members of await this.#withoutResult(counter, batch)) {
        counts.processedCount += 1
        for (const member of members) counts.processedBytes += await this.#size(counter, member)
      }
    }
    let batch: Datum[] = []
    for await (const datum of source.added()) {
      counts.datumCount += 1
      batch.push(datum)
      if (batch.length < lookupCountMax) continue
      await look(batch)
      batch = []
    }
    await look(batch)
    return counts
  }

  /** The members of those that no job has processed, and no planned one before would. */
  async #withoutResult(
    { pipeline, known }: Counter,
    batch: readonly Datum[],
  ): Promise<readonly (readonly DatumMember[])[]> {
    const byKey = batch.map(({ members }) => ({ key: datumKey(pipeline, members), members }))
    const keys = byKey.map(({ key }) => key)
    const results = await this.#database.read((tx) => findResults(tx, keys))
    const found: (readonly DatumMember[])[] = []
    for (const { key, members } of byKey) {
      if (results.has(key) || known?.has(key) === true) continue
      known?.add(key)
      found.push(members)
    }
    return found
  }

  async #size({ pipeline, trees }: Counter, member: DatumMember): Promise<number> {
    const { input } = pipeline.spec
    const entry = await memberEntry(this.#trees, input, trees, member)
    if (groupOf(input, member) === undefined || entry.kind === 'file') return sizeOf(entry)
    let sizeBytes = 0
    for await (const { entry: below } of this.#trees.list(entry, rootPath))
      sizeBytes += sizeOf(below)
    return sizeBytes
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new CancelledError('the call was cancelled')
}

/** What a job would be over. */
interface JobScene {
  readonly trees: InputTreesOfJob
  /** For an input with joins or groups; see `JobRecord`. */
  readonly matches: MapRoot | undefined
}

interface Counter {
  readonly pipeline: PipelineRecord
  readonly trees: InputTreesOfJob
  readonly known: KnownKeys | undefined
  readonly signal: AbortSignal
}

/** Keys of datums that planned jobs would process, as far as there is room for them. */
class KnownKeys {
  readonly #keys = new Set<DatumKey>()
  /** Some were not taken. */
  isFull = false

  add(key: DatumKey): void {
    if (this.#keys.size < rememberedKeyCountMax) this.#keys.add(key)
    else this.isFull = true
  }

  has(key: DatumKey): boolean {
    return this.#keys.has(key)
  }
}

interface Seen {
  readonly pipeline: PipelineRecord
  readonly outline: PlanOutline
  readonly jobs: readonly SeenJob[]
  readonly base:
    | (Pick<BaseJob, 'inputTrees' | 'matches'> & { readonly datumCount: number })
    | undefined
}

interface SeenJob {
  readonly job: JobRecord
  readonly trees: InputTreesOfJob
  /** It was there before. */
  readonly isCarried: boolean
}

/** What a rehearsal came to, as far as rows say it. */
async function lookAt(tx: ReadTransaction, rehearsal: Rehearsal): Promise<Seen> {
  const { old, pipeline, notices } = rehearsal
  const openJobs = new Set(rehearsal.openJobs)
  const open = await selectJobs(
    tx,
    `WHERE ${isOpenOfPipeline} ORDER BY sequence LIMIT ?`,
    pipeline.pipelineId,
    plannedJobCountMax + 1,
  )
  const isSpout = pipeline.spec.spout === true
  const jobs: SeenJob[] = []
  for (const job of isSpout ? [] : open.slice(0, plannedJobCountMax)) {
    const trees = await treesOf(tx, job.inputs)
    if (trees !== undefined) jobs.push({ job, trees, isCarried: openJobs.has(job.id) })
  }
  const [first] = jobs
  const base = first && (await findBase(tx, first.job, pipeline.spec))
  const baseJob = base && (await selectJobs(tx, 'WHERE id = ?', base.job))[0]
  const stillOpen = new Set(await openJobIds(tx, pipeline.pipelineId))
  const stopped = rehearsal.openJobs.filter((id) => !stillOpen.has(id))
  return {
    pipeline,
    jobs,
    base: base && { ...base, datumCount: baseJob?.counts.total ?? 0 },
    outline: {
      pipeline: pipeline.name,
      version: pipeline.version,
      isUpdate: old !== undefined,
      isSpout,
      stopped,
      readers: await readersOf(tx, pipeline),
      emptyBranches: await emptyBranches(tx, pipeline),
      isCut: open.length > plannedJobCountMax || (await hasBacklog(tx, pipeline.name)),
      notices,
      jobCount: jobs.length,
    },
  }
}

function changesBetween(
  before: InputTreesOfJob | undefined,
  after: InputTreesOfJob,
): (repo: RepoName) => TreeChange {
  return (repo) => {
    const tree = after.get(repo)
    if (tree === undefined) throw new Error(`invariant broken: job reads no commit of ${repo}`)
    return { before: before?.get(repo), after: tree }
  }
}

function sizeOf(entry: TreeEntry): number {
  return entry.kind === 'file' ? contentSizeBytes(entry.content) : entry.sizeBytes
}

/** Only then can two places of a job hold the same datum. */
function namesRepeat({ spec }: PipelineRecord): boolean {
  const names = atomsOf(spec.input).map(({ name }) => name)
  return new Set(names).size < names.length
}

async function readersOf(
  tx: ReadTransaction,
  { name }: PipelineRecord,
): Promise<readonly PipelineName[]> {
  const all = await allPipelines(tx)
  return all
    .filter(({ spec }) => branchesOf(spec.input).some(({ repo }) => repo === String(name)))
    .map((reader) => reader.name)
    .toSorted()
}

/** The input branches that no job can read yet, as `repo/branch`. */
async function emptyBranches(
  tx: ReadTransaction,
  { spec }: PipelineRecord,
): Promise<readonly string[]> {
  const empty: string[] = []
  for (const atom of branchesOf(spec.input)) {
    if ((await finishedHead(tx, atom)) === undefined) empty.push(`${atom.repo}/${atom.branch}`)
  }
  return empty
}
