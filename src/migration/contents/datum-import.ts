import type { Instant } from '../../base/clock.ts'
import { parseGlob } from '../../base/globs.ts'
import type { CommitId, JobId, RepoName } from '../../base/names.ts'
import { type NameSet, NameTable } from '../../legacy/name-table.ts'
import {
  datumTags,
  orderCountMax,
  tagPrefix,
  type OldMember,
  type TagScheme,
} from '../../legacy/datum-tags.ts'
import { encodeLog } from '../../pipelines/datum-logs.ts'
import { stageImportedResult, type DatumResult } from '../../pipelines/datum-results.ts'
import {
  findImportedDatums,
  mergeImportedOutputs,
  type DatumsOfInput,
  type ImportedDatum,
} from '../../pipelines/imports.ts'
import { atomsOf, shapeOf } from '../../pipelines/inputs.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import { type FaultPoint, noFault } from '../../storage/fault-point.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { Contents } from '../../storage/contents.ts'
import type { MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import { treeEntry, type CommitTree } from '../../versioning/commit-records.ts'
import { noDatumStats, statsOfDatum, type DatumStats } from './datum-stats.ts'
import { isDamage } from '../findings.ts'
import { OldHashes } from './old-hashes.ts'
import type { PipelinePlan, PlannedJob } from '../plan/job-plan.ts'
import type { PlannedPipeline } from '../plan/pipeline-plan.ts'
import type { ReadyCommit, ReadyCommits } from './ready-commits.ts'
import type { TreeImport, TreeImportPorts } from './tree-import.ts'

/** Tags that are looked up at once. */
const readersMax = 16

export interface DatumImportPorts extends TreeImportPorts {
  readonly treeImport: TreeImport
  readonly maps: ProllyMaps
  readonly faultPoint?: FaultPoint
  /** Undefined in a rehearsal, whose contents have no bytes: then no output is made again. */
  readonly contents: Contents | undefined
}

/** What is known of the datums of a job. */
export interface JobDatums {
  readonly datumSet: MapRoot
  /** Where the output is that of the datums' results, as they are here. */
  readonly contributions?: MapRoot | undefined
}

type SpecJob = PlannedJob & { readonly spec: PipelineSpec }

/** What a datum of a job was made from, by the inputs' names. */
interface Sources {
  readonly job: SpecJob
  readonly hashes: ReadonlyMap<string, readonly Pick<NameTable, 'get'>[]>
  readonly scheme: TagScheme
  /** Undefined where the old cluster cannot say which there are. */
  readonly tags: NameSet | undefined
}

/**
 * Finds the datums of old jobs over their input commits, and the results that the old cluster kept of
 * them under tags, so that nothing is processed again. A pipeline's results count if it would still use
 * them there: those of its current salt, or in 1.4 of its current version.
 */
export class DatumImport {
  readonly #ports: DatumImportPorts
  readonly #commits: ReadyCommits
  readonly #hashes: OldHashes
  readonly #found = new Map<JobId, JobDatums>()
  /** The order of the environment in the tag that was found last. */
  #likely: readonly string[] | undefined
  #missed = 0
  /** Datums whose log is longer than what is kept. */
  #cutCount = 0

  constructor(ports: DatumImportPorts, commits: ReadyCommits) {
    this.#ports = ports
    this.#commits = commits
    this.#hashes = new OldHashes(ports.objects)
  }

  get found(): ReadonlyMap<JobId, JobDatums> {
    return this.#found
  }

  /** Goes through all jobs; yields after each how many have been done. */
  async *run({ pipelines, jobs }: PipelinePlan): AsyncGenerator<number> {
    const groups = Map.groupBy(jobs.filter(hasSpec), ({ pipelineId, salt, spec }) =>
      JSON.stringify([pipelineId, salt, shapeOf(spec.input)]),
    )
    for (const group of groups.values()) {
      const [first] = group
      const pipeline = pipelines.find(
        ({ record }) =>
          record.pipelineId === first?.pipelineId &&
          record.salt === first.salt &&
          shapeOf(record.spec.input) === shapeOf(first.spec.input),
      )
      yield* this.#runGroup(group, pipeline)
    }
  }

  async *#runGroup(
    jobs: readonly SpecJob[],
    pipeline: PlannedPipeline | undefined,
  ): AsyncGenerator<number> {
    const scheme = pipeline && schemeOf(pipeline)
    const tags = scheme && (await this.#tagsOf(scheme))
    this.#likely = undefined
    this.#missed = 0
    this.#cutCount = 0
    let before: DatumsOfInput | undefined
    let last: SpecJob | undefined
    for (const job of jobs) {
      this.#ports.signal.throwIfAborted()
      const trees = await this.#treesOf(job)
      if (trees === undefined) continue
      const hasTags = scheme !== undefined && tags?.size !== 0
      const sources = hasTags ? { job, scheme, tags, hashes: await this.#hashesOf(job) } : undefined
      before = await findImportedDatums(
        this.#ports,
        { ...job, lineageId: job.pipelineId, input: job.spec.input },
        trees,
        {
          before,
          onAdded: async (datums) => {
            if (sources !== undefined) await this.#importResults(datums, sources)
          },
        },
      )
      this.#found.set(job.id, { datumSet: before.datumSet })
      if (job.state === 'success') last = job
      yield this.#found.size
    }
    if (last !== undefined && pipeline !== undefined) await this.#merge(last)
    const name = jobs[0]?.pipeline
    if (this.#cutCount > 0) {
      this.#ports.findings.notice(
        `pipeline ${name}: of ${this.#cutCount === 1 ? 'one datum' : `${this.#cutCount} datums`} the log is longer than what is kept here: a line in it says where something is left out, and what is kept`,
      )
    }
    if (this.#missed > 0) {
      this.#ports.findings.notice(
        `pipeline ${name}: the results of ${this.#missed} datums may be processed again: their tags depend on the order in which the old server wrote ${scheme?.kind === 'transform' ? Object.keys(scheme.transform.env).length : 0} environment variables, and only ${orderCountMax} orders are tried for each`,
      )
    }
  }

  /** Undefined where the old cluster cannot say; none where what says it is damaged, which is told. */
  async #tagsOf(scheme: TagScheme): Promise<NameSet | undefined> {
    try {
      const tags = new NameTable()
      const areAll = await this.#ports.objects.listTags(tagPrefix(scheme), (tag) => tags.add(tag))
      return areAll ? tags : undefined
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#ports.findings.damage('datum', `tags of pipeline ${scheme.pipeline}`, error.message)
      return new NameTable()
    }
  }

  /** Undefined when one of them has not come. */
  async #treesOf({
    inputs,
  }: PlannedJob): Promise<ReadonlyMap<RepoName, DirectoryEntry> | undefined> {
    const trees = new Map<RepoName, DirectoryEntry>()
    for (const { repo, commit } of inputs) {
      const found = this.#commits.get(commit)
      if (found?.finishedAt === undefined) return undefined
      trees.set(repo, treeEntry(await this.#treeOf(found)))
    }
    return trees
  }

  #treeOf(commit: ReadyCommit): Promise<CommitTree> {
    return this.#commits.treeOf(commit, (hashes) => this.#ports.recorder.recordedTrees(hashes))
  }

  async #hashesOf({ spec, inputs }: SpecJob): Promise<Sources['hashes']> {
    const byInput = new Map<string, readonly Pick<NameTable, 'get'>[]>()
    for (const atom of atomsOf(spec.input)) {
      const commit = inputs.find(({ repo }) => repo === atom.repo)?.commit
      const tree = commit === undefined ? '' : (this.#commits.get(commit)?.oldTree ?? '')
      if (tree === '') continue
      const hashes = await this.#hashes.of(tree, parseGlob(atom.glob))
      // Members of a union may share a name: the last one counts.
      byInput.set(atom.name, [hashes, ...(byInput.get(atom.name) ?? [])])
    }
    return byInput
  }

  async #importResults(datums: readonly ImportedDatum[], sources: Sources): Promise<void> {
    const results: DatumResult[] = []
    const waiting = datums.values()
    const readers = Array.from({ length: readersMax }, async () => {
      for (const datum of waiting) {
        this.#ports.signal.throwIfAborted()
        const result = await this.#resultOf(datum, sources).catch((error: unknown) => {
          if (!isDamage(error)) throw error
          const what = `pipeline ${sources.job.pipeline}, ${pathsOf(datum.members)}`
          this.#ports.findings.damage('datum', what, error.message)
        })
        if (result !== undefined) results.push(result)
      }
    })
    await Promise.all(readers)
    const { pipelineId: lineageId, salt } = sources.job
    const { chunks, database, faultPoint = noFault } = this.#ports
    await chunks.flush()
    faultPoint('migration: results stored')
    await database.transact(async (tx) => {
      for (const result of results) await stageImportedResult(tx, { lineageId, salt }, result)
    })
    faultPoint('migration: results recorded')
  }

  async #resultOf(
    { key, members }: ImportedDatum,
    sources: Sources,
  ): Promise<DatumResult | undefined> {
    const { job, hashes, scheme, tags } = sources
    const old: OldMember[] = []
    for (const { input: name, path } of members) {
      const among = hashes.get(name)?.find((table) => table.get(path) !== undefined)
      const hash = among?.get(path)
      if (hash === undefined) return undefined
      old.push({ name, path, hash })
    }
    const found = await this.#findTag(scheme, old, tags)
    if (found === undefined) return undefined
    const owner = `the result of a datum of pipeline ${job.pipeline} (tag ${found.tag})`
    const tree = await this.#ports.treeImport.treeOf(found.object, owner)
    if (tree === undefined) return undefined
    const finishedAt: Instant = job.finishedAt ?? job.createdAt
    const paths = pathsOf(members)
    const { stats, lines } = await this.#statsOf({ tag: found.tag, paths }, sources, finishedAt)
    return {
      datum: key,
      members,
      job: job.id,
      output: treeEntry(tree),
      stats,
      finishedAt,
      worker: '',
      log: encodeLog(lines),
    }
  }

  async #findTag(
    scheme: TagScheme,
    members: readonly OldMember[],
    tags: NameSet | undefined,
  ): Promise<{ readonly tag: string; readonly object: string } | undefined> {
    let count = 0
    for (const { tag, order } of datumTags(scheme, members, this.#likely)) {
      count += 1
      if (tags?.has(tag) === false) continue
      const object = await this.#ports.objects.findTag(tag)
      if (object === undefined) continue
      if (count > 1) this.#likely = order
      return { tag, object }
    }
    if (count >= orderCountMax) this.#missed += 1
    return undefined
  }

  /** What the old server kept for a pipeline with statistics. */
  async #statsOf(
    { tag, paths }: { readonly tag: string; readonly paths: string },
    { job, tags }: Sources,
    at: Instant,
  ): Promise<DatumStats> {
    const { findings, objects } = this.#ports
    const name = `${tag}_stats`
    // Where tags cannot be listed, those are asked for that may be there.
    if (tags === undefined ? !job.old.info.enableStats : !tags.has(name)) return noDatumStats
    const losses: string[] = []
    const onLoss = (reason: string): number => losses.push(reason)
    let found = noDatumStats
    try {
      const object = await objects.findTag(name)
      if (object !== undefined) found = await statsOfDatum(objects, object, { at, onLoss })
      else if (tags !== undefined)
        onLoss('its statistics and log are gone: their tag leads nowhere')
    } catch (error) {
      if (!isDamage(error)) throw error
      onLoss(`its statistics and log cannot be found: ${error.message}`)
    }
    if (losses.length > 0) {
      const what = `pipeline ${job.pipeline}, ${paths}, statistics (tag ${name})`
      findings.damage('datum', what, losses.join('; '))
    }
    if (found.isCut) this.#cutCount += 1
    return found
  }

  /** So that the next job starts from this one, where its output is what we would make of the results. */
  async #merge({ id, old }: SpecJob): Promise<void> {
    const datums = this.#found.get(id)
    const output = this.#commits.get((old.info.outputCommit?.id ?? '') as CommitId)
    const { contents } = this.#ports
    if (datums === undefined || output === undefined || contents === undefined) return
    const merged = await mergeImportedOutputs({ ...this.#ports, contents }, datums.datumSet)
    if (merged?.tree.root !== (await this.#treeOf(output)).root) return
    await this.#ports.chunks.flush()
    this.#found.set(id, { ...datums, contributions: merged.contributions })
  }
}

function pathsOf(members: ImportedDatum['members']): string {
  return members.map(({ path }) => path).join(' ')
}

function hasSpec(job: PlannedJob): job is SpecJob {
  return job.spec !== undefined
}

function schemeOf({ record, old }: PlannedPipeline): TagScheme {
  const { info, name: pipeline } = old
  if (info.salt !== '') return { kind: 'salt', pipeline, salt: info.salt }
  return {
    kind: 'transform',
    pipeline,
    id: info.id,
    version: record.version,
    transform: info.transform ?? ({ env: {} } as never),
  }
}
