import type { ReadTransaction } from '../database/database.ts'
import type { CommitUses, JobRemoval } from '../versioning/ports.ts'

/** No jobs; pipelines write the branches that a test says. */
export class TestCommitUses implements CommitUses {
  /** `<repo>/<branch>`. */
  readonly written: Set<string> = new Set()
  /** Deletions that are told that things have changed since they were planned. */
  staleCount = 0

  async writerOf(_tx: ReadTransaction, repo: string, branch: string): Promise<string | undefined> {
    return this.written.has(`${repo}/${branch}`) ? repo : undefined
  }

  async pipelineOf(_tx: ReadTransaction, repo: string): Promise<string | undefined> {
    return [...this.written].some((branch) => branch.startsWith(`${repo}/`)) ? repo : undefined
  }

  async onRepoMade(): Promise<void> {}

  async planRemoval(): Promise<JobRemoval> {
    return { removed: [], killed: [], results: [], asOf: '' }
  }

  async remove(): Promise<boolean> {
    this.staleCount -= 1
    return this.staleCount < 0
  }
}
