import { inBatches } from '../base/batched.ts'
import type { Instant } from '../base/clock.ts'
import { compareBytes } from '../base/bytes.ts'
import type { CommitId, PipelineName, RepoName } from '../base/names.ts'
import { NotFoundError } from '../base/errors.ts'
import type { Database, Transaction } from '../database/database.ts'
import type { Contents } from '../storage/contents.ts'
import type { DirectoryEntry, FileTrees } from '../storage/file-trees.ts'
import type { MapEdit, MapRoot, ProllyMaps } from '../storage/prolly-map.ts'
import { noteKnown } from './jobs/arrivals.ts'
import { findImportedOutputs } from './datum-results.ts'
import { decodeDatum, encodeDatum } from './datums/datum-sets.ts'
import { datumKey, type Datum, type DatumKey, type Lineage } from './datums.ts'
import { datumSource } from './discovery/discovery.ts'
import { branchesOf, type Input } from './inputs.ts'
import { freeKey, keyOfInputs } from './jobs/job-making.ts'
import { type DatumCounts, insertJob, jobTopic, type JobInput, type NewJob } from './job-records.ts'
import { type ProcessStats } from './process-stats.ts'
import { type Output, type OutputChange, OutputClashError, OutputMerge } from './outputs/outputs.ts'
import { putPipeline, type PipelineRecord } from './pipeline-records.ts'
import type { PipelineSpec } from './specs.ts'
import type { JobState } from './states.ts'

// What comes from an old cluster: as it was there, and without anything being set off by it.

/** A finished commit on a branch that a pipeline reads. */
export interface ImportedArrival {
  readonly position: number
  readonly commit: CommitId
  /** A job has read it. */
  readonly isUsed: boolean
}

/** `arrivals`: for each input branch the last that was used, and all after it, in order. */
export async function importPipeline(
  tx: Transaction,
  pipeline: PipelineRecord,
  arrivals: readonly ImportedArrival[],
  modifiedAt: Instant,
): Promise<void> {
  await putPipeline(tx, pipeline, modifiedAt)
  for (const [index, { position, commit, isUsed }] of arrivals.entries()) {
    const arrival = { sequence: index + 1, position, commit }
    await noteKnown(tx, pipeline.name, arrival, isUsed ? 'used' : 'new')
  }
}

/** Remembers that a pipeline was there once, and is gone. */
export async function importDeletedPipeline(
  tx: Transaction,
  name: PipelineName,
  deletedAt: Instant,
): Promise<void> {
  await tx.run(
    'INSERT INTO deleted_pipelines (name, deleted_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING',
    name,
    deletedAt,
  )
}

export interface ImportedJob extends Omit<NewJob, 'inputsKey' | 'isByHand' | 'outputCommit'> {
  /** Undefined where it was left out. */
  readonly outputCommit: CommitId | undefined
  readonly state: JobState
  readonly reason: string
  readonly startedAt: Instant | undefined
  readonly finishedAt: Instant | undefined
  readonly restartCount: number
  readonly counts: DatumCounts
  readonly stats: ProcessStats
  readonly datumSet: MapRoot | undefined
  /** Known only where the output can be made again of those of its datums. */
  readonly contributions: MapRoot | undefined
  /** Of `inputs`, those that have not come. */
  readonly inputsLeftOut: readonly JobInput[]
  /** It must be there. */
  readonly statsCommit: CommitId | undefined
  /** What it ran, where no pipeline says it any more. */
  readonly spec: PipelineSpec | undefined
}

export async function importJob(tx: Transaction, job: ImportedJob): Promise<void> {
  // Old servers made several jobs over the same commits now and then.
  const inputsKey = await freeKey(tx, job, keyOfInputs(job.inputs))
  const outputCommit = job.outputCommit ?? ('' as CommitId)
  await insertJob(tx, { ...job, inputsKey, outputCommit, isByHand: false })
  for (const { repo } of job.inputsLeftOut) {
    await tx.run('UPDATE job_inputs SET left_out = 1 WHERE job = ? AND repo = ?', job.id, repo)
  }
  const { counts, stats } = job
  await tx.run(
    `UPDATE job_rows SET state = ?, reason = ?, started_at = ?, finished_at = ?, restart_count = ?,
        datum_total = ?, datum_processed = ?, datum_skipped = ?, datum_failed = ?,
        download_ms = ?, process_ms = ?, upload_ms = ?, download_bytes = ?, upload_bytes = ?,
        datum_set_root = ?, contributions_root = ?, stats_commit = ?, imported = 1 WHERE id = ?`,
    job.state,
    job.reason,
    job.startedAt ?? null,
    job.finishedAt ?? null,
    job.restartCount,
    counts.total,
    counts.processed,
    counts.skipped,
    counts.failed,
    stats.downloadMs,
    stats.processMs,
    stats.uploadMs,
    stats.downloadBytes,
    stats.uploadBytes,
    job.datumSet ?? null,
    job.contributions ?? null,
    job.statsCommit ?? null,
    job.id,
  )
  await tx.emit(jobTopic, job.id)
  if (job.spec === undefined) return
  await tx.run(
    `INSERT INTO pipeline_versions (pipeline_id, version, spec) VALUES (?, ?, ?)
      ON CONFLICT (pipeline_id, version) DO NOTHING`,
    job.pipelineId,
    job.pipelineVersion,
    JSON.stringify(job.spec),
  )
}

/** Input commits of a job, and the datums that they cut out. */
export interface DatumsOfInput {
  readonly datumSet: MapRoot
  readonly trees: ReadonlyMap<RepoName, DirectoryEntry>
}

export interface ImportedDatum extends Datum {
  readonly key: DatumKey
}

/** Datums that are handed over at a time. */
const batchDatumCountMax = 5000

/**
 * Finds the datums of an input over `trees`, given those over others: the datum set is edited by the
 * difference, and `onAdded` gets what is new. Memory: a few thousand datums.
 */
export async function findImportedDatums(
  ports: { readonly trees: FileTrees; readonly maps: ProllyMaps },
  pipeline: Lineage & { readonly input: Input },
  trees: DatumsOfInput['trees'],
  options: {
    readonly before: DatumsOfInput | undefined
    readonly onAdded: (datums: readonly ImportedDatum[]) => Promise<void>
  },
): Promise<DatumsOfInput> {
  const { before, onAdded } = options
  const source = datumSource(pipeline.input, {
    trees: ports.trees,
    changeOf: (repo) => ({ before: before?.trees.get(repo), after: required(trees, repo) }),
  })
  let datumSet = before?.datumSet ?? (await ports.maps.empty())
  const edit = async (edits: MapEdit[]): Promise<void> => {
    datumSet = await ports.maps.edit(
      datumSet,
      edits.toSorted((left, right) => compareBytes(left.key, right.key)),
    )
  }
  for await (const datums of inBatches(source.removed(), batchDatumCountMax)) {
    await edit(datums.map(({ orderKey }) => ({ key: orderKey, value: undefined })))
  }
  for await (const datums of inBatches(source.added(), batchDatumCountMax)) {
    const keyed = datums.map((datum) => ({ ...datum, key: datumKey(pipeline, datum.members) }))
    await edit(keyed.map((datum) => ({ key: datum.orderKey, value: encodeDatum(datum) })))
    await onAdded(keyed)
  }
  return { datumSet, trees }
}

/** Datums whose results are looked up in one query. */
const lookupCountMax = 400

/**
 * Makes a job's output again of the staged results of its datums; undefined when one has none, or two
 * cannot be merged.
 */
export async function mergeImportedOutputs(
  ports: {
    readonly database: Database
    readonly trees: FileTrees
    readonly maps: ProllyMaps
    readonly contents: Contents
  },
  datumSet: MapRoot,
): Promise<Output | undefined> {
  const merge = new OutputMerge(ports)
  const changes = async function* changes(): AsyncGenerator<OutputChange> {
    for await (const datums of inBatches(ports.maps.scan(datumSet), lookupCountMax)) {
      const keyed = datums.map(({ key, value }) => ({
        orderKey: key,
        datum: decodeDatum(value).key,
      }))
      const found = await ports.database.read((tx) =>
        findImportedOutputs(
          tx,
          keyed.map(({ datum }) => datum),
        ),
      )
      for (const { orderKey, datum } of keyed) {
        const after = found.get(datum)
        if (after === undefined) throw new NotFoundError(`datum ${datum} has no result`)
        yield { orderKey, before: undefined, after }
      }
    }
  }
  try {
    return (await merge.apply(await merge.empty(), changes)).output
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof OutputClashError) return undefined
    throw error
  }
}

function required(trees: DatumsOfInput['trees'], repo: RepoName): DirectoryEntry {
  const tree = trees.get(repo)
  if (tree === undefined) throw new Error(`invariant broken: there is no tree of ${repo}`)
  return tree
}

/** The repos that an input reads, each with its branch and its place among the inputs. */
export function inputBranches(
  input: Input,
): readonly { readonly repo: RepoName; readonly branch: string; readonly position: number }[] {
  return branchesOf(input).map(({ repo, branch }, position) => ({ repo, branch, position }))
}
