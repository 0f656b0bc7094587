import type { ReadTransaction } from '../../database/database.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import { findRepo } from '../../versioning/repos.ts'
import type { JobRecord } from '../job-records.ts'

/** What a job reads, or writes to, and was deleted, in words; undefined when all is there. */
export async function whatIsGone(tx: ReadTransaction, job: JobRecord): Promise<string | undefined> {
  if ((await findRepo(tx, job.outputRepo)) === undefined) {
    return `output repo ${job.outputRepo} was deleted`
  }
  for (const { repo, commit } of job.inputs) {
    if ((await findRepo(tx, repo)) === undefined) return `input repo ${repo} was deleted`
    if ((await findCommit(tx, repo, commit)) === undefined) {
      return `input commit ${repo}/${commit} was deleted`
    }
  }
  return undefined
}
