import type { Commits } from '../../versioning/commits.ts'

/**
 * Does `work`, which puts into an open commit, and finishes the commit; or takes it back when `work` fails,
 * so that none stays open of which nobody knows any more.
 */
export async function endingCommit<Result>(
  commits: Pick<Commits, 'inspect' | 'finish' | 'takeBack'>,
  { repo, commit }: { readonly repo: string; readonly commit: string },
  work: () => Promise<Result>,
): Promise<Result> {
  // A branch may have moved on by then.
  const { id } = await commits.inspect(repo, commit)
  try {
    const result = await work()
    await commits.finish(repo, id)
    return result
  } catch (error) {
    // Where that fails, too, what went wrong first explains the rest.
    await commits.takeBack(repo, id).catch(() => undefined)
    throw error
  }
}
