import type { CommitId, RepoName } from '../../base/names.ts'
import type { JobInput } from '../../pipelines/job-records.ts'
import { hasEnded } from '../../pipelines/states.ts'
import type { Findings } from '../findings.ts'
import type { CommitPlan } from '../plan/commit-plan.ts'
import { othersText, type PipelinePlan, type PlannedJob } from '../plan/job-plan.ts'
import { madeUp } from '../plan/pipeline-plan.ts'
import type { ReadyCommits } from './ready-commits.ts'

/** A job, and what of its commits has come. */
export interface ReadyJob extends PlannedJob {
  readonly outputRepo: RepoName
  /** Undefined where it was left out. */
  readonly outputCommit: CommitId | undefined
  /** Of `inputs`. */
  readonly inputsLeftOut: readonly JobInput[]
}

/** Tells of jobs whose commits have not come; one that would read such a commit is killed. */
export function readyJobs(
  { repos, commits, jobs }: CommitPlan & PipelinePlan,
  ready: ReadyCommits,
  findings: Findings,
): readonly ReadyJob[] {
  const since = new Map(repos.map(({ name, createdAt }) => [name, createdAt]))
  const planned = new Set(commits.map(({ id }) => id))
  const forgotten: string[] = []
  const found = jobs.map((job): ReadyJob => {
    // Of a repo that was deleted since, nobody misses anything.
    const isMissed = (repo: RepoName, commit: CommitId): boolean =>
      (since.get(repo) ?? Number.POSITIVE_INFINITY) <= job.createdAt &&
      ready.get(commit) === undefined
    const tell = (did: string, repo: RepoName, commit: CommitId): void => {
      const what = `it ${did} ${repo}/${commit}, which is left out`
      if (planned.has(commit)) findings.damage('job', job.id, what)
      else forgotten.push(`job ${job.id} of pipeline ${job.pipeline} ${did} ${repo}/${commit}`)
    }
    const inputsLeftOut = job.inputs.filter(({ repo, commit }) => isMissed(repo, commit))
    for (const { repo, commit } of inputsLeftOut) tell('read', repo, commit)
    const { outputCommit, outputRepo } = outputOf(job)
    const isOutputMissed = job.state === 'success' && isMissed(outputRepo, outputCommit)
    if (isOutputMissed) tell('wrote', outputRepo, outputCommit)
    return {
      ...job,
      ...(inputsLeftOut.length > 0 && !hasEnded(job.state) && withoutInput),
      outputRepo,
      outputCommit: isOutputMissed ? undefined : outputCommit,
      inputsLeftOut,
    }
  })
  const [first] = forgotten
  if (first !== undefined) {
    findings.notice(`${first}${othersText(forgotten.length)}, which is not there any more`)
  }
  return found
}

const withoutInput = { state: 'killed', reason: 'a commit that it reads was left out' } as const

function outputOf({ id, pipeline, old }: PlannedJob): {
  readonly outputRepo: RepoName
  readonly outputCommit: CommitId
} {
  const { outputCommit, outputRepo } = old.info
  const commit = outputCommit?.id ?? ''
  return {
    outputRepo: (outputRepo?.name ?? pipeline) as RepoName,
    outputCommit: (commit === '' ? madeUp('output', id) : commit) as CommitId,
  }
}
