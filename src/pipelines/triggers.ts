import type { Clock } from '../base/clock.ts'
import type { PipelineName } from '../base/names.ts'
import type { Random } from '../base/random.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { moveFollowers } from '../versioning/branch-triggers.ts'
import { findCommit, type CommitInfo } from '../versioning/commit-records.ts'
import type { ReadyHead } from '../versioning/ports.ts'
import {
  type Arrival,
  forgetBefore,
  hasBacklog,
  isOfHistory,
  newArrivals,
  noteNewest,
  setArrivalState,
  usedArrivals,
} from './jobs/arrivals.ts'
import type { Path } from './jobs/alignment.ts'
import { Consideration } from './jobs/consideration.ts'
import { startsNoJob } from './jobs/from-commits.ts'
import { beginHistory, noteHistory } from './jobs/history.ts'
import { branchesOf } from './inputs.ts'
import { makeJob, makeLastJob } from './jobs/job-making.ts'
import {
  findPipeline,
  getPipeline,
  pipelineTopic,
  type PipelineRecord,
} from './pipeline-records.ts'

/** Commits that are noted or considered in one transaction, which holds up the event loop: below 100 ms. */
const sliceCountMax = 100

/**
 * Makes jobs out of finished commits, in the transaction that makes them heads.
 *
 * Each head is noted as an arrival for every pipeline that reads its branch. A running pipeline
 * considers its arrivals one after the other: with each, it looks for commits of its other inputs
 * that align with it (see `align`); if there are, that is a job, and arrivals older than the chosen
 * ones are forgotten. Heads that became ready in one transaction are never read apart, so they make
 * one job. What does not fit waits until the lagging input has caught up. A paused
 * pipeline only notes.
 *
 * A long history or backlog is worked off in slices, a transaction each: the first where the
 * pipeline is made, updated or started, the others by whoever calls `workOff`. Heads that come
 * meanwhile are noted, and considered when it is their turn. So is a commit for which so much has to be
 * tried that one transaction would take long.
 */
export class Triggers {
  readonly #ports: { readonly clock: Clock; readonly random: Random }
  /**
   * Where the search for a pipeline's next arrival goes on; without it, that begins anew. What a transaction
   * writes here stays when that is undone or done again: it does no harm, since each search takes away what is
   * there before it begins, and goes on only with what is of its own arrival.
   */
  readonly #searches = new Map<PipelineName, { readonly of: string; readonly path: Path }>()

  constructor(ports: { readonly clock: Clock; readonly random: Random }) {
    this.#ports = ports
  }

  async onHeadReady(tx: Transaction, heads: readonly ReadyHead[]): Promise<void> {
    // Branches that follow these heads come with them.
    const all = await moveFollowers(tx, heads)
    for (const [name, come] of await readersOf(tx, all)) {
      const pipeline = await getPipeline(tx, name)
      const arrivals = await startersOf(tx, pipeline, come)
      if (arrivals.length === 0) continue
      const isLate = await hasBacklog(tx, name)
      await noteNewest(tx, name, arrivals)
      if (pipeline.state !== 'running' || isLate) continue
      await this.#workOffSlice(tx, pipeline)
      // A pipeline may read more branches than a slice is long, or much may have to be tried: the
      // scheduler does the others.
      if (await hasBacklog(tx, name)) await tx.emit(pipelineTopic, name)
    }
  }

  /**
   * Starts over with a pipeline that was just made or updated: what its input branches hold is
   * considered, in the order in which it was finished. Does the first slice.
   */
  async beginWith(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
    await beginHistory(tx, pipeline)
    await this.#workOffSlice(tx, pipeline)
  }

  /** Does the next slice of a running pipeline's backlog; true when there is more. */
  async workOff(tx: Transaction, name: PipelineName): Promise<boolean> {
    const pipeline = await findPipeline(tx, name)
    if (pipeline?.state !== 'running') return false
    await this.#workOffSlice(tx, pipeline)
    if (await hasBacklog(tx, name)) return true
    // Whoever waited for what it would come to looks again.
    await tx.emit(pipelineTopic, name)
    return false
  }

  async #workOffSlice(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
    const notedCount = await noteHistory(tx, pipeline, sliceCountMax)
    if (notedCount >= sliceCountMax) return
    const consideration = new Consideration(tx, pipeline)
    const arrivals = await newArrivals(tx, pipeline.name, sliceCountMax - notedCount)
    for (const arrival of arrivals) {
      const search = `${pipeline.pipelineId} ${pipeline.version} ${arrival.sequence} ${arrival.commit}`
      const before = this.#searches.get(pipeline.name)
      this.#searches.delete(pipeline.name)
      const path = before?.of === search ? before.path : undefined
      const choice = await consideration.choose(arrival, path)
      if (choice.kind === 'later') {
        this.#searches.set(pipeline.name, { of: search, path: choice.path })
        break
      }
      await setArrivalState(tx, pipeline.name, arrival, 'waiting')
      if (choice.kind === 'none') continue
      const chosen = choice.options
      for (const one of chosen) {
        await forgetBefore(tx, pipeline.name, one)
        await setArrivalState(tx, pipeline.name, one, 'used')
      }
      const commits = chosen.map(({ info }) => info)
      const triggerPosition = arrival.position
      await makeJob(tx, this.#ports, { pipeline, commits, triggerPosition })
    }
    if (arrivals.some(isOfHistory)) await this.#endHistory(tx, pipeline)
  }

  /** Where all of a pipeline's history has been considered, its output is to be of the last of it. */
  async #endHistory(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
    if ((await newArrivals(tx, pipeline.name, 1)).some(isOfHistory)) return
    const used = await usedArrivals(tx, pipeline.name)
    const [newest] = used
    const commits: CommitInfo[] = []
    for (const [position, { repo }] of branchesOf(pipeline.spec.input).entries()) {
      const arrival = used.find((one) => one.position === position)
      const commit = arrival && (await findCommit(tx, repo, arrival.commit))
      if (commit === undefined) return
      commits.push(commit)
    }
    if (newest === undefined) return
    const triggerPosition = newest.position
    await makeLastJob(tx, this.#ports, { pipeline, commits, triggerPosition })
  }
}

/** Of what has come to a pipeline's inputs, what may start jobs: a branch may move back behind that. */
async function startersOf(
  tx: ReadTransaction,
  { spec }: PipelineRecord,
  arrivals: readonly Omit<Arrival, 'sequence'>[],
): Promise<readonly Omit<Arrival, 'sequence'>[]> {
  const atoms = branchesOf(spec.input)
  const starters: Omit<Arrival, 'sequence'>[] = []
  for (const arrival of arrivals) {
    const atom = atoms[arrival.position]
    if (atom === undefined || !(await startsNoJob(tx, atom, arrival.commit))) starters.push(arrival)
  }
  return starters
}

/** The pipelines that read the branches, by name, with what has arrived for each. */
async function readersOf(
  tx: ReadTransaction,
  heads: readonly ReadyHead[],
): Promise<ReadonlyMap<string, readonly Omit<Arrival, 'sequence'>[]>> {
  const found = new Map<string, Omit<Arrival, 'sequence'>[]>()
  for (const head of heads) {
    const readers = await tx.all<{ readonly pipeline: string; readonly position: number }>(
      'SELECT pipeline, position FROM pipeline_inputs WHERE repo = ? AND branch = ?',
      head.repo,
      head.branch,
    )
    for (const { pipeline, position } of readers) {
      const arrivals = found.get(pipeline) ?? []
      arrivals.push({ position, commit: head.id })
      found.set(pipeline, arrivals)
    }
  }
  return new Map([...found].toSorted(([left], [right]) => (left < right ? -1 : 1)))
}
