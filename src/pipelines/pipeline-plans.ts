import { inBatches } from '../base/batched.ts'
import { hexText } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
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
import { decodeDatum } from './datums/datum-sets.ts'
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
import type { Pipelines, PlannedSpec, Rehearsal } from './pipelines.ts'

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
  /** Datums that were looked at by now, of all jobs: told while it takes long. */
  | { readonly kind: 'progress'; readonly datumCount: number }

/** Jobs of one plan; that there would be more is said. */
const plannedJobCountMax = 100
/** Datums that are looked up in one query. */
const lookupCountMax = 500
/** Keys of which it is remembered that an earlier planned job has them: some 100 bytes each. */
const rememberedKeyCountMax = 250_000
/** How far a count is, is told so often. */
const progressEachMs = 1000

/** Says what a spec would run, and stores nothing. */
export class PipelinePlans {
  readonly #database: Database
  readonly #chunks: ChunkStore
  readonly #maps: ProllyMaps
  readonly #trees: FileTrees
  readonly #leases: Leases
  readonly #pipelines: Pipelines
  readonly #clock: Clock

  constructor(ports: {
    readonly clock: Clock
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
    this.#clock = ports.clock
  }

  /**
   * What storing a spec as `create`, or as `update` where the pipeline exists, would come to: first
   * the outline, then its jobs, oldest first. Each job is counted when it is asked for; the cost is
   * its datums that differ. While that takes long, it is told how far it is. Specs that would be
   * stored `before` may write what this one reads.
   *
   * @throws what `create` and `update` throw.
   */
  async *plan(
    spec: PlannedSpec,
    {
      before = [],
      signal,
    }: { readonly before?: readonly PlannedSpec[]; readonly signal: AbortSignal },
  ): AsyncGenerator<PlanStep> {
    using lease = this.#leases.beginReading()
    const seen = await lease.acquire(async () => {
      const found = await this.#pipelines.rehearse(spec, before, lookAt)
      const trees = [...found.jobs.map((job) => job.trees), found.base?.inputTrees ?? new Map()]
      for (const { root } of trees.flatMap((tree) => [...tree.values()])) {
        lease.hold({ kind: 'tree', root })
      }
      if (found.base === undefined) return found
      const { matches, datumSet, goodSet } = found.base
      // A map from (…, match key, …) to tree entries.
      if (matches !== undefined) lease.hold({ kind: 'tree', root: matches })
      for (const root of [datumSet, goodSet]) lease.hold({ kind: 'map', root })
      return found
    })
    yield { kind: 'outline', outline: seen.outline }
    yield* this.#count(seen, lease, {
      trees: this.#trees.until(signal),
      maps: this.#maps.until(signal),
      pace: new Pace(this.#clock, signal),
    })
  }

  async *#count(seen: Seen, lease: Lease, tools: Tools): AsyncGenerator<PlanStep> {
    const { pipeline, jobs } = seen
    const { pace } = tools
    let before: JobScene | undefined = seen.base && {
      trees: seen.base.inputTrees,
      matches: seen.base.matches,
    }
    let datumCount = seen.base?.datumCount ?? 0
    const known = jobs.length > 1 || namesRepeat(pipeline) ? new KnownKeys() : undefined
    for (const { job, trees, isCarried } of jobs) {
      const after = {
        trees,
        matches: await this.#matches(lease, tools, pipeline, { before, trees }),
      }
      const counter = { ...tools, pipeline, inputTrees: trees, known }
      const added = yield* this.#added(counter, sourceOf(tools, pipeline, before, after).added())
      const isFirst = job === jobs[0]?.job
      const again = isFirst ? await this.#placesOfRecovered(seen, tools) : new Set<string>()
      const areAllKnown = again.size < rememberedKeyCountMax
      let goneCount = 0
      if (before !== undefined) {
        // What the earlier job has otherwise, or has and the later one has not.
        for await (const { orderKey } of sourceOf(tools, pipeline, after, before).added()) {
          goneCount += 1
          if (again.size > 0) again.delete(hexText(orderKey))
          if (goneCount % lookupCountMax === 0) yield* pace.look(lookupCountMax)
        }
      }
      datumCount += added.datumCount - goneCount
      const tried = yield* this.#added(
        counter,
        isFirst ? this.#triedAgain(seen, tools, again) : noDatums(),
      )
      const planned: PlannedJob = {
        job: isCarried ? job.id : undefined,
        inputs: job.inputs,
        datumCount,
        processedCount: added.processedCount + tried.processedCount,
        processedBytes: added.processedBytes + tried.processedBytes,
        isAtMost: known?.isFull === true || !areAllKnown || pipeline.spec.incremental,
      }
      yield { kind: 'job', job: planned }
      before = after
    }
  }

  /**
   * What the joins and groups of the input would match. It is written, and once `lease` ends nothing
   * refers to it.
   */
  async #matches(
    lease: Lease,
    tools: Tools,
    { spec }: PipelineRecord,
    { before, trees }: { readonly before: JobScene | undefined; readonly trees: InputTreesOfJob },
  ): Promise<MapRoot | undefined> {
    using _ = this.#leases.begin()
    const indexes = new MatchIndexes(tools)
    const changeOf = changesBetween(before?.trees, trees)
    const matches = await indexes.update(before?.matches, spec.input, changeOf)
    if (matches === undefined) return undefined
    await this.#chunks.flush()
    lease.hold({ kind: 'tree', root: matches })
    return matches
  }

  /** Datums that the base job went on without, in the order of their keys. */
  async *#recovered({ base }: Seen, { maps }: Tools): AsyncGenerator<Datum> {
    if (base === undefined) return
    for await (const { key: orderKey, after } of maps.diff(base.goodSet, base.datumSet)) {
      if (after !== undefined) yield { orderKey, members: decodeDatum(after).members }
    }
  }

  /** Where those stand, as far as there is room. */
  async #placesOfRecovered(seen: Seen, tools: Tools): Promise<Set<string>> {
    const places = new Set<string>()
    for await (const { orderKey } of this.#recovered(seen, tools)) {
      places.add(hexText(orderKey))
      if (places.size === rememberedKeyCountMax) break
    }
    return places
  }

  /** Those of them that the job which starts from the base job has, too; perhaps more of very many. */
  async *#triedAgain(seen: Seen, tools: Tools, places: ReadonlySet<string>): AsyncGenerator<Datum> {
    let index = 0
    for await (const datum of this.#recovered(seen, tools)) {
      index += 1
      if (index > rememberedKeyCountMax || places.has(hexText(datum.orderKey))) yield datum
    }
  }

  async *#added(counter: Counter, datums: AsyncIterable<Datum>): AsyncGenerator<PlanStep, Counts> {
    const counts = { datumCount: 0, processedCount: 0, processedBytes: 0 }
    for await (const batch of inBatches(datums, lookupCountMax)) {
      counts.datumCount += batch.length
      yield* counter.pace.look(batch.length)
      for (const members of await this.#withoutResult(counter, batch)) {
        counts.processedCount += 1
        for (const member of members) counts.processedBytes += await this.#size(counter, member)
      }
    }
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

  async #size({ pipeline, trees, inputTrees }: Counter, member: DatumMember): Promise<number> {
    const { input } = pipeline.spec
    const entry = await memberEntry(trees, input, inputTrees, member)
    if (groupOf(input, member) === undefined || entry.kind === 'file') return sizeOf(entry)
    let sizeBytes = 0
    for await (const { entry: below } of trees.list(entry, rootPath)) sizeBytes += sizeOf(below)
    return sizeBytes
  }
}

/** Ends a long count when nobody waits for it any more, and tells those who do that it goes on. */
class Pace {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  #toldMs: number
  #datumCount = 0

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock
    this.#signal = signal
    this.#toldMs = clock.monotonicMs()
  }

  /** After so many more datums. @throws {CancelledError} */
  *look(datumCount: number): Generator<PlanStep> {
    if (this.#signal.aborted) throw new CancelledError('the call was cancelled')
    this.#datumCount += datumCount
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#toldMs < progressEachMs) return
    this.#toldMs = nowMs
    yield { kind: 'progress', datumCount: this.#datumCount }
  }
}

/** What one plan reads with, and counts by. */
interface Tools {
  readonly trees: FileTrees
  readonly maps: ProllyMaps
  readonly pace: Pace
}

interface Counts {
  readonly datumCount: number
  readonly processedCount: number
  readonly processedBytes: number
}

/** What a job would be over. */
interface JobScene {
  readonly trees: InputTreesOfJob
  /** For an input with joins or groups; see `JobRecord`. */
  readonly matches: MapRoot | undefined
}

interface Counter extends Tools {
  readonly pipeline: PipelineRecord
  readonly inputTrees: InputTreesOfJob
  readonly known: KnownKeys | undefined
}

function sourceOf(
  { trees, maps }: Tools,
  { spec }: PipelineRecord,
  before: JobScene | undefined,
  after: JobScene,
): DatumSource {
  const index =
    after.matches && new IndexReader(maps, { before: before?.matches, after: after.matches })
  const changeOf = changesBetween(before?.trees, after.trees)
  return datumSource(spec.input, { trees, changeOf, index })
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
    | (Pick<BaseJob, 'inputTrees' | 'matches' | 'datumSet' | 'goodSet'> & {
        readonly datumCount: number
      })
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

async function* noDatums(): AsyncGenerator<Datum> {}

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
