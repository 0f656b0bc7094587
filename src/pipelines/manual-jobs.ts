import type { Clock } from '../base/clock.ts'
import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'
import type { CommitId, JobId, RepoName } from '../base/names.ts'
import type { Random } from '../base/random.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { checkCommitNames, getCommit, type CommitInfo } from '../versioning/commit-records.ts'
import { finishedHead } from './jobs/input-heads.ts'
import { branchesOf, type AtomInput } from './inputs.ts'
import { makeAskedJob } from './jobs/job-making.ts'
import type { PipelineRecord } from './pipeline-records.ts'
import { RootCommits } from './jobs/root-commits.ts'

/** A commit that somebody chose for an input; named as in `resolveCommitId`. */
export interface ChosenCommit {
  readonly repo: string
  readonly commit: string
}

/**
 * Makes a job of a running pipeline over the chosen commits and, where none was chosen, the heads of
 * its input branches. Datums that have a result are skipped, so over commits whose job failed it
 * tries again what failed.
 *
 * @throws {FailedPreconditionError} when the pipeline does not run or reads nothing, a commit is not finished, or
 * two come from different commits of one root repo.
 * @throws {InvalidArgumentError} for a commit of a repo that the pipeline does not read.
 * @throws {NotFoundError}
 */
export async function makeJobByHand(
  tx: Transaction,
  ports: { readonly clock: Clock; readonly random: Random },
  pipeline: PipelineRecord,
  chosen: readonly ChosenCommit[],
): Promise<JobId> {
  requireRunning(pipeline)
  const branches = branchesOf(pipeline.spec.input)
  if (branches.length === 0) {
    throw new FailedPreconditionError(
      `pipeline ${pipeline.name} is a spout: its code runs all the time, and reads no commits that a job could be made over; stop-job ends a run, and another begins`,
    )
  }
  const byRepo = await resolveChosen(tx, pipeline, chosen)
  const commits: CommitInfo[] = []
  for (const atom of branches) commits.push(byRepo.get(atom.repo) ?? (await headOf(tx, atom)))
  await requireAligned(tx, commits)
  const [first] = chosen
  const position = branches.findIndex(({ repo }) => repo === first?.repo)
  const triggerPosition = Math.max(0, position)
  return await makeAskedJob(tx, ports, { pipeline, commits, triggerPosition })
}

function requireRunning({ name, state, recentError }: PipelineRecord): void {
  if (state === 'running') return
  const why = state === 'paused' ? 'is stopped' : `has failed: ${recentError}`
  throw new FailedPreconditionError(
    `pipeline ${name} ${why}, so it would not run the job; start it with start-pipeline first`,
  )
}

async function resolveChosen(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  chosen: readonly ChosenCommit[],
): Promise<ReadonlyMap<RepoName, CommitInfo>> {
  const repos = branchesOf(pipeline.spec.input).map(({ repo }) => repo)
  const byRepo = new Map<RepoName, CommitInfo>()
  checkCommitNames(chosen.map(({ commit }) => commit))
  for (const { repo: name, commit } of chosen) {
    const repo = repos.find((one) => one === name)
    if (repo === undefined) {
      throw new InvalidArgumentError(
        `pipeline ${pipeline.name} does not read repo ${name}; it reads ${repos.join(', ')}`,
      )
    }
    const info = await getCommit(tx, repo, commit)
    if (byRepo.has(repo)) {
      throw new InvalidArgumentError(`two commits of repo ${repo} were named: a job reads one`)
    }
    if (info.state.kind === 'open') {
      throw new FailedPreconditionError(
        `commit ${repo}/${info.id} is still open; finish it with finish-commit first`,
      )
    }
    byRepo.set(repo, info)
  }
  return byRepo
}

async function headOf(tx: ReadTransaction, atom: AtomInput): Promise<CommitInfo> {
  const head = await finishedHead(tx, atom)
  if (head !== undefined) return head
  throw new FailedPreconditionError(
    `branch ${atom.branch} of repo ${atom.repo} has no finished commit that a job could read`,
  )
}

async function requireAligned(tx: ReadTransaction, commits: readonly CommitInfo[]): Promise<void> {
  const roots = new RootCommits(tx)
  const seen = new Map<RepoName, { readonly root: CommitId; readonly by: CommitInfo }>()
  for (const commit of commits) {
    for (const [repo, ids] of await roots.rootsOf(commit)) {
      for (const root of ids) {
        const other = seen.get(repo)
        if (other === undefined) seen.set(repo, { root, by: commit })
        else if (other.root !== root) throw unaligned(repo, other, { root, by: commit })
      }
    }
  }
}

interface Rooted {
  readonly root: CommitId
  readonly by: CommitInfo
}

function unaligned(repo: RepoName, one: Rooted, other: Rooted): FailedPreconditionError {
  const nameOf = ({ by }: Rooted): string => `${by.repo}@${by.id}`
  return new FailedPreconditionError(
    `${nameOf(one)} comes from ${repo}@${one.root} and ${nameOf(other)} from ${repo}@${other.root}: ` +
      'a job reads what comes from one commit of each repo; wait until the pipelines before have ' +
      'caught up, or name commits that belong together',
  )
}
