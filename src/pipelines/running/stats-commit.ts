import { compareBytes, utf8 } from '../../base/bytes.ts'
import type { BranchName, CommitId } from '../../base/names.ts'
import { type FilePath, pathKey } from '../../base/paths.ts'
import { newHexId } from '../../base/random.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { DirectoryEntry, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import { findBranch, setHead } from '../../versioning/branches.ts'
import { findCommit, insertFinishedCommit } from '../../versioning/commit-records.ts'
import { decodeLog } from '../datum-logs.ts'
import { findRuns, resultKeysOf, type DatumRun } from '../datum-results.ts'
import { decodeDatum, type DatumRecord } from '../datums/datum-sets.ts'
import type { DatumKey, DatumMember } from '../datums.ts'
import { groupOf } from '../discovery/group-members.ts'
import { atomsOf } from '../inputs.ts'
import { getJob, type JobRecord } from '../job-records.ts'
import { memberEntry } from '../datums/member-entries.ts'
import type { RunPorts } from './run-ports.ts'
import { statsBranch } from '../specs.ts'
import { Statistics } from '../statistics.ts'
import type { JobPlan } from './plan.ts'
import { aggregateStatsFile, logFile, processStatsFile } from './stats-files.ts'

/** Datums whose logs are in memory at once. */
const runCountMax = 20
/** Datums whose files are put into the tree in one edit. */
const editCountMax = 2000

/** What a job will commit to the branch `stats`. Its chunks are stored, and durable after a flush. */
export interface StatsCommit {
  readonly id: CommitId
  readonly tree: DirectoryEntry
  readonly addedBytes: number
}

/**
 * Builds the files that 1.5 keeps on the branch `stats` of the output repo, where the pipeline asks
 * for them: for each datum a directory with its `stats`, `logs`, `pfs/<input>`, `pfs/out`, and
 * `failure` or `skipped`; and `stats` of all. What the job has recorded is what they tell.
 *
 * It goes on from the files of the base job. Cost: the datums that differ from it, and those that the
 * base job processed.
 */
export async function buildStats(ports: RunPorts, plan: JobPlan): Promise<StatsCommit | undefined> {
  if (!plan.spec.enableStats) return undefined
  const files = new StatsFiles(ports, plan)
  const base = await ports.database.read((tx) => baseOf(tx, plan))
  let tree = base?.tree ?? (await ports.trees.emptyRoot())
  if (base !== undefined) tree = await files.without(tree, base)
  tree = await files.with(tree, base !== undefined)
  if (base !== undefined) tree = await files.markSkipped(tree, base.job)
  tree = await files.withAggregate(tree)
  await ports.chunks.flush()
  const id = newHexId(ports.random) as CommitId
  return { id, tree, addedBytes: files.addedBytes }
}

/** Makes the commit, in the transaction that ends the job. */
export async function commitStats(
  tx: Transaction,
  ports: RunPorts,
  job: JobRecord,
  { id, tree, addedBytes }: StatsCommit,
): Promise<void> {
  const at = ports.clock.now()
  const repo = job.outputRepo
  const { root, sizeBytes, fileCount } = tree
  const parent = (await findBranch(tx, repo, statsBranch))?.head
  await insertFinishedCommit(tx, {
    repo,
    id,
    parent,
    // As in 1.5: nobody who waits for what follows from the inputs waits for it.
    provenance: [],
    startedAt: job.startedAt ?? at,
    finishedAt: at,
    tree: { root, sizeBytes, fileCount },
    addedBytes,
  })
  await tx.run('UPDATE job_rows SET stats_commit = ? WHERE id = ?', id, job.id)
  await setHead(tx, ports.onHeadReady, { repo, name: statsBranch as BranchName, head: id })
}

interface StatsBase {
  readonly job: JobRecord
  readonly tree: DirectoryEntry
}

/** Undefined when there is nothing to go on from. */
async function baseOf(tx: ReadTransaction, plan: JobPlan): Promise<StatsBase | undefined> {
  // Where one datum may stand in two places, it is not known whether another has gone for good.
  const names = atomsOf(plan.spec.input).map(({ name }) => name)
  if (plan.base === undefined || new Set(names).size < names.length) return undefined
  const { baseJob } = await getJob(tx, plan.job.id)
  if (baseJob === undefined) return undefined
  const job = await getJob(tx, baseJob)
  // In the files of an old cluster, datums have other names.
  if (job.isImported) return undefined
  if (job.statsCommit === undefined || job.datumSet === undefined) return undefined
  const commit = await findCommit(tx, job.outputRepo, job.statsCommit)
  if (commit?.state.kind !== 'finished') return undefined
  return { job, tree: { kind: 'directory', ...commit.state.tree } }
}

class StatsFiles {
  readonly #ports: RunPorts
  readonly #plan: JobPlan
  addedBytes = 0

  constructor(ports: RunPorts, plan: JobPlan) {
    this.#ports = ports
    this.#plan = plan
  }

  /** Without the datums of the base job that the job does not have. */
  async without(tree: DirectoryEntry, { job }: StatsBase): Promise<DirectoryEntry> {
    const { maps } = this.#ports
    const before = job.datumSet ?? (await maps.empty())
    const edit = new BatchedEdits(this.#ports, tree)
    for await (const change of maps.diff(before, this.#plan.datumSet)) {
      if (change.before === undefined) continue
      await edit.add({ path: directoryOf(decodeDatum(change.before).key), entry: undefined })
    }
    return await edit.end()
  }

  /** With those that are new since the base job, or all. */
  async with(tree: DirectoryEntry, hasBase: boolean): Promise<DirectoryEntry> {
    const { maps } = this.#ports
    const { base, datumSet } = this.#plan
    const before = hasBase ? base?.goodSet : undefined
    const changes = maps.diff(before ?? (await maps.empty()), datumSet)
    const edit = new BatchedEdits(this.#ports, tree)
    let batch: DatumRecord[] = []
    const put = async (): Promise<void> => {
      for (const each of await this.#entriesOf(batch)) await edit.add(each)
      batch = []
    }
    for await (const { after } of changes) {
      if (after === undefined) continue
      batch.push(decodeDatum(after))
      if (batch.length === runCountMax) await put()
    }
    await put()
    return await edit.end()
  }

  /** What the base job processed, this one has skipped; what that one had skipped says so already. */
  async markSkipped(tree: DirectoryEntry, base: JobRecord): Promise<DirectoryEntry> {
    const { contents, database, trees } = this.#ports
    const content = await contents.writeBytes(new Uint8Array())
    const edit = new BatchedEdits(this.#ports, tree)
    for (let last: { at: number; datum: string } | undefined = { at: -1, datum: '' }; last;) {
      const from: { at: number; datum: string } = last
      const page = await database.read((tx) => resultKeysOf(tx, base.id, from))
      for (const { datum } of page) {
        const directory = directoryOf(datum as DatumKey)
        if ((await trees.get(tree, directory)) === undefined) continue
        const path = `${directory}/skipped` as FilePath
        await edit.add({ path, entry: { kind: 'file', content } })
      }
      last = page.at(-1)
    }
    return await edit.end()
  }

  async withAggregate(tree: DirectoryEntry): Promise<DirectoryEntry> {
    const { datums } = await new Statistics(this.#ports).ofJob(this.#plan.job.id)
    const bytes = aggregateStatsFile(datums)
    this.addedBytes += bytes.length
    const edits = [{ path: '/stats' as FilePath, entry: await this.#file(bytes) }]
    return await this.#ports.trees.edit(tree, edits, { emptied: 'keep' })
  }

  /** The directories of datums that the job knows the end of. */
  async #entriesOf(datums: readonly DatumRecord[]): Promise<readonly TreeEdit[]> {
    const { job } = this.#plan
    const keys = datums.map(({ key }) => key)
    const runs = await this.#ports.database.read((tx) => findRuns(tx, job.id, keys))
    const edits: TreeEdit[] = []
    for (const { key, members } of datums) {
      const run = runs.get(key)
      // One that was never tried: others had failed so that it would, too.
      if (run === undefined) continue
      const entry = await this.#directory(key, members, run)
      this.addedBytes += entry.sizeBytes
      edits.push({ path: directoryOf(key), entry })
    }
    return edits
  }

  async #directory(
    datum: DatumKey,
    members: readonly DatumMember[],
    run: DatumRun,
  ): Promise<DirectoryEntry> {
    const { job } = this.#plan
    const log = { datum, members, worker: run.worker, lines: decodeLog(run.log) }
    const maker = { pipeline: job.pipeline, id: run.job }
    const files: [string, TreeEntry][] = [
      ['stats', await this.#file(processStatsFile(run.stats))],
      ['logs', await this.#file(logFile(maker, log))],
    ]
    if (run.failure !== undefined) files.push(['failure', await this.#file(utf8(run.failure))])
    else if (run.job !== job.id) files.push(['skipped', await this.#file(new Uint8Array())])
    if (run.output !== undefined) files.push(['pfs/out', run.output])
    for (const member of members) {
      files.push([`pfs/${member.input}${member.path}`, await this.#memberEntry(member)])
    }
    // As long as they are: nobody writes them by these paths.
    const edits = files.map(([path, entry]) => ({ path: `/${path}` as FilePath, entry }))
    return await editSorted(this.#ports, await this.#ports.trees.emptyRoot(), edits)
  }

  /** What the datum was shown, by reference. */
  async #memberEntry(member: DatumMember): Promise<TreeEntry> {
    const { trees } = this.#ports
    const { spec, inputTrees } = this.#plan
    const entry = await memberEntry(trees, spec.input, inputTrees, member)
    if (entry.kind === 'file' || groupOf(spec.input, member) === undefined) return entry
    // A group does not know how large it is.
    async function* files(): AsyncGenerator<TreeEdit> {
      for await (const each of trees.walk(entry as DirectoryEntry)) yield each
    }
    return await trees.edit(await trees.emptyRoot(), files(), { emptied: 'keep' })
  }

  async #file(bytes: Uint8Array): Promise<TreeEntry> {
    return { kind: 'file', content: await this.#ports.contents.writeBytes(bytes) }
  }
}

/** Edits in any order, applied many at a time. */
class BatchedEdits {
  readonly #ports: Pick<RunPorts, 'trees'>
  #tree: DirectoryEntry
  #edits: TreeEdit[] = []

  constructor(ports: Pick<RunPorts, 'trees'>, tree: DirectoryEntry) {
    this.#ports = ports
    this.#tree = tree
  }

  async add(edit: TreeEdit): Promise<void> {
    this.#edits.push(edit)
    if (this.#edits.length >= editCountMax) await this.end()
  }

  async end(): Promise<DirectoryEntry> {
    if (this.#edits.length > 0) this.#tree = await editSorted(this.#ports, this.#tree, this.#edits)
    this.#edits = []
    return this.#tree
  }
}

async function editSorted(
  { trees }: Pick<RunPorts, 'trees'>,
  tree: DirectoryEntry,
  edits: readonly TreeEdit[],
): Promise<DirectoryEntry> {
  const sorted = edits.toSorted((left, right) =>
    compareBytes(pathKey(left.path), pathKey(right.path)),
  )
  return await trees.edit(tree, sorted, { emptied: 'keep' })
}

function directoryOf(datum: DatumKey): FilePath {
  return `/${datum}` as FilePath
}
