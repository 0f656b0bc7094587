import type { Instant } from '../base/clock.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import {
  type BranchName,
  type CommitId,
  isCommitId,
  type JobId,
  type RepoName,
} from '../base/names.ts'
import type { Transaction } from '../database/database.ts'
import type { OldAccess } from '../legacy/old-records.ts'
import { adoptImportedResults } from '../pipelines/datum-results.ts'
import {
  importDeletedPipeline,
  importJob,
  importPipeline,
  inputBranches,
  type ImportedArrival,
} from '../pipelines/imports.ts'
import type { JobInput } from '../pipelines/job-records.ts'
import type { JobDatums } from './contents/datum-import.ts'
import type { ReadyJob } from './contents/ready-jobs.ts'
import {
  findImportedTrees,
  importBranch,
  hasCommit,
  importCommit,
  importRepo,
  settleImportedRepo,
  type ImportedCommit,
  type ImportRun,
} from '../versioning/imports.ts'
import type { CommitPlan } from './plan/commit-plan.ts'
import type {
  FindTrees,
  HeldCommit,
  ReadyBranch,
  ReadyCommit,
  ReadyCommits,
} from './contents/ready-commits.ts'
import { endRun } from './runs.ts'
import { statsOfJob, type PipelinePlan, type PlannedJob } from './plan/job-plan.ts'
import type { PlannedPipeline } from './plan/pipeline-plan.ts'

/** Everything that comes, with its contents here already. */
export interface Cargo {
  readonly run: ImportRun
  readonly commits: ReadyCommits
  readonly branches: readonly ReadyBranch[]
  readonly repos: CommitPlan['repos']
  readonly pipelines: PipelinePlan['pipelines']
  readonly jobs: readonly ReadyJob[]
  /** What is known of the datums of jobs. */
  readonly datums: ReadonlyMap<JobId, JobDatums>
  readonly access: readonly OldAccess[]
}

/** What has names that nothing here may have. */
type Named = Pick<Cargo, 'repos' | 'pipelines'> & {
  readonly commits: Iterable<{ readonly id: string }>
}

/** @throws {FailedPreconditionError} that says what is there already under a name that would come. */
export async function requireRoom(tx: Pick<Transaction, 'get'>, cargo: Named): Promise<void> {
  const refusal = await roomRefusal(tx, cargo)
  if (refusal !== undefined) throw new FailedPreconditionError(refusal)
}

/** The same as a sentence; undefined where there is room. */
export async function roomRefusal(
  tx: Pick<Transaction, 'get'>,
  cargo: Named,
): Promise<string | undefined> {
  const taken: string[] = []
  for (const { name } of cargo.repos) {
    if ((await tx.get('SELECT name FROM repos WHERE name = ?', name)) !== undefined) {
      taken.push(`repo ${name}`)
    }
  }
  for (const { record } of cargo.pipelines) {
    if ((await tx.get('SELECT name FROM pipelines WHERE name = ?', record.name)) !== undefined) {
      taken.push(`pipeline ${record.name}`)
    }
  }
  for (const { id } of cargo.commits) {
    if (taken.length > 0) break
    if (await hasCommit(tx, id)) taken.push(`commit ${id}`)
  }
  const [first] = taken
  if (first === undefined) return undefined
  const others = taken.length === 1 ? '' : ` and ${taken.length - 1} more`
  return `this server has a ${first}${others} already: migrate into a server that has none of what comes, for instance a new one; nothing was changed`
}

/** Makes everything be there, in the transaction that does so. Returns how many results came. */
export async function switchOver(tx: Transaction, cargo: Cargo, now: Instant): Promise<number> {
  const { run, commits } = cargo
  await requireRoom(tx, { ...cargo, commits: commits.all() })
  for (const repo of cargo.repos) await importRepo(tx, repo)
  const find: FindTrees = (hashes) => findImportedTrees(tx, hashes, run)
  for await (const commit of commits.withTrees(find)) await importCommit(tx, importedAs(commit))
  for (const branch of cargo.branches) await importBranch(tx, branch)
  for (const repo of cargo.repos.toSorted((left, right) => left.written - right.written)) {
    await settleImportedRepo(tx, repo.name, repo.sizeBytes)
  }
  const lastWritten = cargo.pipelines.toSorted(
    (left, right) => left.old.written - right.old.written,
  )
  for (const [index, pipeline] of lastWritten.entries()) {
    const arrivals = arrivalsOf(pipeline, cargo)
    // Lists are in the order of last changes.
    await importPipeline(tx, pipeline.record, arrivals, now + index)
  }
  await importJobs(tx, cargo)
  const names = new Set(cargo.pipelines.map(({ record }) => record.name))
  for (const { pipeline } of cargo.jobs) {
    if (!names.has(pipeline)) await importDeletedPipeline(tx, pipeline, now)
  }
  for (const { kind, name, value } of cargo.access) {
    await tx.run(
      'INSERT INTO imported_access (kind, name, value) VALUES (?, ?, ?) ON CONFLICT (kind, name) DO NOTHING',
      kind,
      name,
      value,
    )
  }
  const results = await adoptImportedResults(tx)
  await endRun(tx)
  return results
}

function importedAs({
  tree,
  staged = [],
  finishedAt,
  ...commit
}: ReadyCommit & HeldCommit): ImportedCommit {
  const state =
    finishedAt === undefined
      ? ({ kind: 'open', staged } as const)
      : ({ kind: 'finished', finishedAt, tree } as const)
  return { ...commit, state }
}

async function importJobs(tx: Transaction, cargo: Cargo): Promise<void> {
  const ids = new Set(cargo.jobs.map(({ id }) => id))
  for (const job of cargo.jobs) {
    const { info } = job.old
    const parentJob = (info.parentJob?.id ?? '') as JobId
    const [first] = job.inputs
    if (first === undefined) continue
    await importJob(tx, {
      id: job.id,
      pipeline: job.pipeline,
      pipelineId: job.pipelineId,
      lineageId: job.pipelineId,
      pipelineVersion: job.version,
      salt: job.salt,
      parentJob: ids.has(parentJob) ? parentJob : undefined,
      inputs: job.inputs,
      trigger: triggerOf(job) ?? first,
      provenance: provenanceOf(job, cargo.commits),
      outputRepo: job.outputRepo,
      outputBranch: (info.outputBranch === '' ? 'master' : info.outputBranch) as BranchName,
      outputCommit: job.outputCommit,
      createdAt: job.createdAt,
      state: job.state,
      reason: job.reason,
      startedAt: job.state === 'starting' ? undefined : job.createdAt,
      finishedAt: job.finishedAt,
      restartCount: Number(info.restart),
      counts: {
        total: Number(info.dataTotal),
        processed: Number(info.dataProcessed),
        skipped: Number(info.dataSkipped),
        failed: 0,
        recovered: 0,
      },
      stats: statsOfJob(info),
      datumSet: cargo.datums.get(job.id)?.datumSet,
      contributions: cargo.datums.get(job.id)?.contributions,
      inputsLeftOut: job.inputsLeftOut,
      statsCommit: commitThere(job.statsCommit, cargo.commits),
      spec: job.spec,
    })
  }
}

function commitThere(id: CommitId | undefined, commits: ReadyCommits): CommitId | undefined {
  return id === undefined || commits.get(id) === undefined ? undefined : id
}

/** The commit that set it off, and the branch on which that came. */
function triggerOf({ old }: PlannedJob): JobInput | undefined {
  const { name = '', head } = old.info.newBranch ?? {}
  const repo = head?.repo?.name ?? ''
  if (name === '' || repo === '' || head === undefined || !isCommitId(head.id)) return undefined
  return { repo: repo as RepoName, branch: name as BranchName, commit: head.id }
}

/** The input commits and all that they are made from. */
function provenanceOf({ inputs }: PlannedJob, commits: ReadyCommits): ReadonlySet<CommitId> {
  const found = new Set<CommitId>()
  const ahead = inputs.map(({ commit }) => commit)
  for (let id = ahead.pop(); id !== undefined; id = ahead.pop()) {
    if (found.has(id)) continue
    found.add(id)
    for (const from of commits.get(id)?.provenance ?? []) ahead.push(from.id)
  }
  return found
}

/** Of each input branch: the last commit that a job has read, and all that came after it. */
function arrivalsOf({ record }: PlannedPipeline, cargo: Cargo): readonly ImportedArrival[] {
  const used = new Set<CommitId>()
  for (const job of cargo.jobs) {
    if (job.pipelineId !== record.pipelineId || job.salt !== record.salt) continue
    for (const { commit } of job.inputs) used.add(commit)
  }
  const found: (ImportedArrival & { readonly finishedAt: Instant })[] = []
  for (const { repo, branch, position } of inputBranches(record.spec.input)) {
    const head = cargo.branches.find((one) => one.repo === repo && String(one.name) === branch)
    let id = head?.head
    while (id !== undefined) {
      const commit = cargo.commits.get(id)
      if (commit === undefined) break
      if (commit.finishedAt !== undefined) {
        const isUsed = used.has(id)
        found.push({ position, commit: id, isUsed, finishedAt: commit.finishedAt })
        if (isUsed) break
      }
      id = commit.parent
    }
  }
  return found.toSorted((left, right) => left.finishedAt - right.finishedAt)
}
