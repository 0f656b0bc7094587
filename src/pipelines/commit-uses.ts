import type { Instant } from '../base/clock.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import type { RepoName } from '../base/names.ts'
import type { Database, ReadTransaction, SqlRow, Transaction } from '../database/database.ts'
import type { ProllyMaps } from '../storage/prolly-map.ts'
import type { CommitUses, GoingCommits, JobName, JobRemoval } from '../versioning/ports.ts'
import { forgetGoing } from './jobs/going-commits.ts'
import { deleteResults } from './datum-results.ts'
import { recountDatums } from './job-counts.ts'
import { atomsOf } from './inputs.ts'
import { removeJob, selectJobs, setJobState, type JobRecord } from './job-records.ts'
import { completeProvenanceAround } from './outputs/output-provenance.ts'
import { allPipelines, findPipeline } from './pipeline-records.ts'
import { statsBranch } from './specs.ts'
import { hasEnded } from './states.ts'
import { plannedJobs, UnusedResults } from './datums/unused-results.ts'

/** What jobs and pipelines know of commits: which branches they write, and what goes with commits. */
export class JobCommitUses implements CommitUses {
  readonly #database: Database
  readonly #maps: ProllyMaps

  constructor(ports: { readonly database: Database; readonly maps: ProllyMaps }) {
    this.#database = ports.database
    this.#maps = ports.maps
  }

  async writerOf(tx: ReadTransaction, repo: string, branch: string): Promise<string | undefined> {
    const pipeline = await findPipeline(tx, repo)
    // A spout's own commits come from people and programs, too.
    if (pipeline?.spec.spout === true) return undefined
    if (pipeline?.spec.enableStats === true && branch === statsBranch) return pipeline.name
    return pipeline?.spec.outputBranch === branch ? pipeline.name : undefined
  }

  async pipelineOf(tx: ReadTransaction, repo: string): Promise<string | undefined> {
    return (await findPipeline(tx, repo))?.name
  }

  async onRepoMade(tx: Transaction, repo: RepoName): Promise<void> {
    await completeProvenanceAround(tx, repo)
  }

  async planRemoval(commits: GoingCommits, signal?: AbortSignal): Promise<JobRemoval> {
    const { jobs, asOf } = await this.#database.read(async (tx) => {
      await requireNotStart(tx, commits)
      const found = await jobsOver(tx, commits)
      return { jobs: found, asOf: await stateOf(tx, found) }
    })
    const results = await new UnusedResults(this.#database, this.#maps).of(jobs, signal)
    return { ...namesOf(jobs), results, asOf }
  }

  async remove(
    tx: Transaction,
    commits: GoingCommits,
    removal: JobRemoval,
    at: Instant,
  ): Promise<boolean> {
    await requireNotStart(tx, commits)
    const jobs = await jobsOver(tx, commits)
    if ((await stateOf(tx, jobs)) !== removal.asOf) return false
    // The oldest first, so that each finds its parent as it will stay.
    for (const job of jobs) {
      if (hasEnded(job.state)) await removeAmong(tx, job)
      else await setJobState(tx, job.id, { state: 'killed', reason: reasonOf(job, commits), at })
    }
    await deleteResults(tx, removal.results)
    for (const job of jobs) if (!hasEnded(job.state)) await recountDatums(tx, job.id)
    await forgetGoing(tx, commits)
    return true
  }
}

/** The jobs that read one of `commits`, directly or not, by their order. */
async function jobsOver(tx: ReadTransaction, commits: GoingCommits): Promise<readonly JobRecord[]> {
  const jobs = new Map<string, JobRecord>()
  for (const id of commits.keys()) {
    const readers = 'WHERE id IN (SELECT job FROM job_provenance WHERE commit_id = ?)'
    for (const job of await selectJobs(tx, readers, id)) jobs.set(job.id, job)
  }
  for (const id of commits.keys()) {
    for (const job of await selectJobs(tx, 'WHERE output_commit = ?', id)) {
      if (!jobs.has(job.id)) await requireNoOwner(tx, job)
      jobs.set(job.id, job)
    }
  }
  return [...jobs.values()].toSorted((left, right) => left.sequence - right.sequence)
}

/** A pipeline's output goes with its input only, for nothing would make it again. */
async function requireNoOwner(tx: ReadTransaction, job: JobRecord): Promise<void> {
  const pipeline = await findPipeline(tx, job.pipeline)
  if (pipeline?.pipelineId !== job.pipelineId) return
  const inputs = job.inputs.map(({ repo, commit }) => `${repo}/${commit}`).join(', ')
  throw new FailedPreconditionError(
    `commit ${job.outputRepo}/${job.outputCommit} is the output of job ${job.id} of pipeline ${job.pipeline}: delete the commit that it is made from (${inputs}), or process it anew with update-pipeline --reprocess`,
  )
}

/** A pipeline that begins behind a commit would begin elsewhere without it. */
async function requireNotStart(tx: ReadTransaction, commits: GoingCommits): Promise<void> {
  for (const { name, spec } of await allPipelines(tx)) {
    for (const { fromCommit, repo } of atomsOf(spec.input)) {
      if (fromCommit === undefined || !commits.has(fromCommit)) continue
      throw new FailedPreconditionError(
        `commit ${repo}/${fromCommit} is the from_commit of pipeline ${name}: update or delete the pipeline first`,
      )
    }
  }
}

/** Everything that decides what goes, as text that can be compared. */
async function stateOf(tx: ReadTransaction, jobs: readonly JobRecord[]): Promise<string> {
  const states = jobs.map(({ id, state }) => [id, hasEnded(state)])
  const planned: SqlRow[] = []
  for (const pipelineId of new Set(jobs.map((job) => job.pipelineId))) {
    planned.push(await plannedJobs(tx, pipelineId))
  }
  return JSON.stringify([states, planned])
}

function namesOf(jobs: readonly JobRecord[]): Pick<JobRemoval, 'removed' | 'killed'> {
  return {
    removed: jobs.filter(({ state }) => hasEnded(state)).map(nameOf),
    killed: jobs.filter(({ state }) => !hasEnded(state)).map(nameOf),
  }
}

function nameOf({ id, pipeline }: JobRecord): JobName {
  return { id, pipeline }
}

/** Removes a job; those that came after it come after the one before it. */
async function removeAmong(tx: Transaction, job: JobRecord): Promise<void> {
  await tx.run(
    `UPDATE job_rows SET parent_job = (SELECT before.parent_job FROM jobs AS before WHERE before.id = ?)
      WHERE pipeline_id = ? AND parent_job = ?`,
    job.id,
    job.pipelineId,
    job.id,
  )
  await removeJob(tx, job.id)
}

function reasonOf({ inputs }: JobRecord, commits: GoingCommits): string {
  const gone = inputs.find(({ commit }) => commits.has(commit))
  return gone === undefined
    ? 'a commit that its input was made from was deleted'
    : `its input commit ${gone.repo}/${gone.commit} was deleted`
}
