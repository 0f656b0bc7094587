import type { ReadTransaction } from '../../database/database.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import { findRepo } from '../../versioning/repos.ts'
import type { JobRecord } from '../job-records.ts'

/** What a job reads, or writes to, and was deleted, in words; undefined when all is there. */
export async function whatIsGone(tx: ReadTransaction, job: JobRecord): Promise<string | undefined> {
  if ((await findRepo(tx, job.outputRepo)) === undefined) {
    return repoIsGoneText('output repo', job.outputRepo)
  }
  for (const { repo, commit } of job.inputs) {
    if ((await findRepo(tx, repo)) === undefined) return repoIsGoneText('input repo', repo)
    if ((await findCommit(tx, repo, commit)) === undefined) {
      return `the input commit ${repo}/${commit} has been deleted`
    }
  }
  return undefined
}

/** Whoever finds it first says it, and in the same words. */
export function repoIsGoneText(what: 'input repo' | 'output repo', repo: string): string {
  return `the ${what} ${repo} has been deleted`
}
