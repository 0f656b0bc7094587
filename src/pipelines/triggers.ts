import type { Clock } from '../base/clock.ts'
import { assert } from '../base/errors.ts'
import type { BranchName, CommitId, JobId, RepoName } from '../base/names.ts'
import { newDashedId, newHexId, type Random } from '../base/random.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { findCommit } from '../versioning/commit-records.ts'
import type { ReadyHead } from '../versioning/ports.ts'
import { findRepo } from '../versioning/repos.ts'
import { align, type Candidate } from './alignment.ts'
import { createHash } from 'node:crypto'
import { branchesOf } from './inputs.ts'
import { insertJob, type JobInput } from './job-records.ts'
import { getPipeline, type PipelineRecord } from './pipeline-records.ts'

/** A commit that has arrived on one of a pipeline's input branches. */
interface Arrival {
  readonly sequence: number
  readonly position: number
  readonly commit: CommitId
}

/**
 * Makes jobs out of finished commits, in the transaction that makes them heads.
 *
 * Each head is noted as an arrival for every pipeline that reads its branch. A running pipeline
 * considers its arrivals one after the other: with each, it looks for commits of its other inputs
 * that align with it (see `align`); if there are, that is a job, and arrivals older than the chosen
 * ones are forgotten. What does not fit waits until the lagging input has caught up. A paused
 * pipeline only notes.
 */
export class Triggers {
  readonly #clock: Clock
  readonly #random: Random

  constructor(ports: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = ports.clock
    this.#random = ports.random
  }

  async onHeadReady(tx: Transaction, heads: readonly ReadyHead[]): Promise<void> {
    for (const head of heads) {
      const readers = await tx.all<{ readonly pipeline: string; readonly position: number }>(
        `SELECT pipeline, position FROM pipeline_inputs WHERE repo = ? AND branch = ?
          ORDER BY pipeline`,
        head.repo,
        head.branch,
      )
      for (const { pipeline: name, position } of readers) {
        await this.#note(tx, name, position, head.id)
        const pipeline = await getPipeline(tx, name)
        if (pipeline.state === 'running') await this.considerArrivals(tx, pipeline)
      }
    }
  }

  /**
   * Notes every finished commit on the input branches of a pipeline that was just made or updated,
   * in the order in which they were finished, in place of what was noted before.
   */
  async noteHistory(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
    await tx.run('DELETE FROM pipeline_arrivals WHERE pipeline = ?', pipeline.name)
    const past: { position: number; commit: CommitId; finishedAt: number; depth: number }[] = []
    for (const [position, atom] of branchesOf(pipeline.spec.input).entries()) {
      const line = await finishedLine(tx, atom.repo, atom.branch, atom.fromCommit)
      for (const [depth, commit] of line.entries()) past.push({ position, depth, ...commit })
    }
    past.sort((a, b) => a.finishedAt - b.finishedAt || b.depth - a.depth)
    for (const { position, commit } of past) await this.#note(tx, pipeline.name, position, commit)
  }

  /** Makes the jobs that the arrivals not yet considered give rise to, oldest first. */
  async considerArrivals(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
    const arrivals = await tx.all<{
      readonly sequence: number
      readonly position: number
      readonly commit_id: string
    }>(
      `SELECT sequence, position, commit_id FROM pipeline_arrivals
        WHERE pipeline = ? AND considered = 0 ORDER BY sequence`,
      pipeline.name,
    )
    for (const { sequence, position, commit_id: commit } of arrivals) {
      await tx.run('UPDATE pipeline_arrivals SET considered = 1 WHERE sequence = ?', sequence)
      await this.#consider(tx, pipeline, { sequence, position, commit: commit as CommitId })
    }
  }

  async #consider(tx: Transaction, pipeline: PipelineRecord, arrival: Arrival): Promise<void> {
    const branches = branchesOf(pipeline.spec.input)
    const options: (readonly (Candidate & Arrival)[])[] = []
    for (const [position, atom] of branches.entries()) {
      const arrivals =
        position === arrival.position ? [arrival] : await earlier(tx, pipeline, position, arrival)
      const candidates: (Candidate & Arrival)[] = []
      for (const one of arrivals) {
        const roots = await rootsOf(tx, atom.repo, one.commit)
        if (roots !== undefined) candidates.push({ ...one, roots })
      }
      options.push(candidates)
    }
    const chosen = align(options)
    if (chosen === undefined) return
    const inputs = branches.map(({ repo, branch }, position): JobInput => {
      const commit = chosen[position]?.commit
      assert(commit !== undefined, 'alignment chooses a commit of every input')
      return { repo, branch, commit }
    })
    for (const { position, sequence } of chosen) {
      await tx.run(
        'DELETE FROM pipeline_arrivals WHERE pipeline = ? AND position = ? AND sequence < ?',
        pipeline.name,
        position,
        sequence,
      )
    }
    await this.#makeJob(tx, pipeline, inputs, arrival.position)
  }

  async #makeJob(
    tx: Transaction,
    pipeline: PipelineRecord,
    inputs: readonly JobInput[],
    triggerPosition: number,
  ): Promise<void> {
    const trigger = inputs[triggerPosition]
    assert(trigger !== undefined, 'the trigger is one of the inputs')
    const inputsKey = keyOfInputs(inputs)
    if (await isDone(tx, pipeline, inputsKey)) return
    const provenance = new Set<CommitId>()
    for (const { repo, commit } of inputs) {
      provenance.add(commit)
      const info = await findCommit(tx, repo, commit)
      for (const { id } of info?.provenance ?? []) provenance.add(id)
    }
    await insertJob(tx, {
      id: newDashedId(this.#random) as JobId,
      pipeline: pipeline.name,
      pipelineId: pipeline.pipelineId,
      pipelineVersion: pipeline.version,
      salt: pipeline.salt,
      inputsKey,
      parentJob: await parentJob(tx, pipeline, inputs, triggerPosition),
      inputs,
      trigger,
      provenance,
      outputRepo: pipeline.name as string as RepoName,
      outputBranch: pipeline.spec.outputBranch,
      outputCommit: newHexId(this.#random) as CommitId,
      createdAt: this.#clock.now(),
    })
  }

  async #note(
    tx: Transaction,
    pipeline: string,
    position: number,
    commit: CommitId,
  ): Promise<void> {
    const last = await tx.get<{ readonly last: number }>(
      'SELECT COALESCE(MAX(sequence), 0) AS last FROM pipeline_arrivals',
    )
    await tx.run(
      `INSERT INTO pipeline_arrivals (sequence, pipeline, position, commit_id, considered)
        VALUES (?, ?, ?, ?, 0)`,
      (last?.last ?? 0) + 1,
      pipeline,
      position,
      commit,
    )
  }
}

/** The finished commits of a branch, newest first, up to but without `from`. */
async function finishedLine(
  tx: ReadTransaction,
  repo: RepoName,
  branch: BranchName,
  from: CommitId | undefined,
): Promise<readonly { readonly commit: CommitId; readonly finishedAt: number }[]> {
  const line: { commit: CommitId; finishedAt: number }[] = []
  let next = await findCommit(tx, repo, branch)
  while (next !== undefined && next.id !== from) {
    const { state } = next
    if (state.kind === 'finished') line.push({ commit: next.id, finishedAt: state.finishedAt })
    next = next.parent === undefined ? undefined : await findCommit(tx, repo, next.parent)
  }
  return line
}

/** Arrivals on another input that came before `arrival`, newest first. */
async function earlier(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  position: number,
  arrival: Arrival,
): Promise<readonly Arrival[]> {
  const rows = await tx.all<{ readonly sequence: number; readonly commit_id: string }>(
    `SELECT sequence, commit_id FROM pipeline_arrivals
      WHERE pipeline = ? AND position = ? AND sequence < ? ORDER BY sequence DESC`,
    pipeline.name,
    position,
    arrival.sequence,
  )
  return rows.map((row) => ({
    sequence: row.sequence,
    position,
    commit: row.commit_id as CommitId,
  }))
}

/** The commits of root repos that a commit is made from; undefined when it is gone. */
async function rootsOf(
  tx: ReadTransaction,
  repo: RepoName,
  id: CommitId,
): Promise<Candidate['roots'] | undefined> {
  const commit = await findCommit(tx, repo, id)
  if (commit === undefined) return undefined
  const roots = new Map<RepoName, Set<CommitId>>()
  for (const one of [{ repo, id: commit.id }, ...commit.provenance]) {
    const info = await findRepo(tx, one.repo)
    if (info === undefined || info.provenance.length > 0) continue
    roots.set(one.repo, (roots.get(one.repo) ?? new Set()).add(one.id))
  }
  return roots
}

/** Names a set of input commits: SHA-256 of their repos, branches and ids, in input order. */
function keyOfInputs(inputs: readonly JobInput[]): string {
  const text = JSON.stringify(inputs.map(({ repo, branch, commit }) => [repo, branch, commit]))
  return createHash('sha256').update(text).digest('hex')
}

/**
 * Whether a job of the same inputs and salt stands. One that failed or was killed as a former
 * version of the pipeline does not, if it is the latest: an update is how people repair it.
 */
async function isDone(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  inputsKey: string,
): Promise<boolean> {
  const jobs = await tx.all<{
    readonly sequence: number
    readonly state: string
    readonly pipeline_version: number
  }>(
    `SELECT sequence, state, pipeline_version FROM jobs
      WHERE pipeline_id = ? AND salt = ? AND inputs_key = ? ORDER BY sequence DESC`,
    pipeline.pipelineId,
    pipeline.salt,
    inputsKey,
  )
  const [job] = jobs
  if (job === undefined) return false
  const ended = job.state === 'failure' || job.state === 'killed'
  if (!ended || job.pipeline_version === pipeline.version) return true
  const latest = await tx.get<{ readonly last: number }>(
    'SELECT MAX(sequence) AS last FROM jobs WHERE pipeline_id = ?',
    pipeline.pipelineId,
  )
  return latest?.last !== job.sequence
}

/** The job of the same inputs, but for the trigger's parent commit in place of the trigger. */
async function parentJob(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  inputs: readonly JobInput[],
  triggerPosition: number,
): Promise<JobId | undefined> {
  const trigger = inputs[triggerPosition]
  if (trigger === undefined) return undefined
  const parent = (await findCommit(tx, trigger.repo, trigger.commit))?.parent
  if (parent === undefined) return undefined
  const before = inputs.map((input) => (input === trigger ? { ...input, commit: parent } : input))
  const row = await tx.get<{ readonly id: string }>(
    `SELECT id FROM jobs WHERE pipeline_id = ? AND salt = ? AND inputs_key = ?
      ORDER BY sequence DESC LIMIT 1`,
    pipeline.pipelineId,
    pipeline.salt,
    keyOfInputs(before),
  )
  return row?.id as JobId | undefined
}
