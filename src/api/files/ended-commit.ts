import type { CommitId } from '../../base/names.ts'
import type { Commits } from '../../versioning/commits.ts'

interface CommitInCall {
  readonly repo: string
  /** A branch or an id. */
  readonly commit: string
}

/**
 * Does `work`, which puts into an open commit, and finishes the commit; or gives it up when `work` fails,
 * so that none stays open of which nobody knows any more.
 */
export async function endingCommit<Result>(
  commits: Pick<Commits, 'inspect' | 'finish' | 'giveUp'>,
  target: CommitInCall,
  work: () => Promise<Result>,
): Promise<Result> {
  return await givingUp(commits, target, async (id) => {
    const result = await work()
    await commits.finish(target.repo, id)
    return result
  })
}

/** Does `work` with the commit's id, and gives the commit up when that fails. */
export async function givingUp<Result>(
  commits: Pick<Commits, 'inspect' | 'giveUp'>,
  { repo, commit }: CommitInCall,
  work: (id: CommitId) => Promise<Result>,
): Promise<Result> {
  // A branch may have moved on by then.
  const { id } = await commits.inspect(repo, commit)
  try {
    return await work(id)
  } catch (error) {
    // Where that fails, too, what went wrong first explains the rest.
    await commits.giveUp(repo, id).catch(() => undefined)
    throw error
  }
}
