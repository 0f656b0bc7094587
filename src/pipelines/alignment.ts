import type { CommitId, RepoName } from '../base/names.ts'

/** A finished commit of one input branch that may become part of a job. */
export interface Candidate {
  readonly commit: CommitId
  /**
   * The commits of repos without provenance that it is made from, by repo; itself, when its own
   * repo has none.
   */
  readonly roots: ReadonlyMap<RepoName, ReadonlySet<CommitId>>
}

/** The candidates of one input, newest first, fetched as far as they are looked at. */
export interface Candidates<Option extends Candidate> {
  /** The candidate after `index` newer ones; undefined after the last. */
  at(index: number): Promise<Option | undefined>
}

/**
 * Chooses one candidate of every input so that together they are made from one commit of each root
 * repo: two branches of a diamond meet only where they come from the same commit.
 *
 * The first choice that fits wins, so newer commits are preferred, those of earlier inputs most.
 * Returns undefined when none fits (the lagging input has not caught up).
 */
export async function align<Option extends Candidate>(
  candidates: readonly Candidates<Option>[],
): Promise<readonly Option[] | undefined> {
  const chosen: Option[] = []

  async function choose(roots: ReadonlyMap<RepoName, CommitId>): Promise<boolean> {
    const options = candidates[chosen.length]
    if (options === undefined) return true
    for (let index = 0; ; index += 1) {
      const option = await options.at(index)
      if (option === undefined) return false
      const joined = joinRoots(roots, option)
      if (joined === undefined) continue
      chosen.push(option)
      if (await choose(joined)) return true
      chosen.pop()
    }
  }

  return (await choose(new Map())) ? chosen : undefined
}

/** `roots` with those of `candidate`, or undefined where they would name two commits of a repo. */
function joinRoots(
  roots: ReadonlyMap<RepoName, CommitId>,
  candidate: Candidate,
): ReadonlyMap<RepoName, CommitId> | undefined {
  const joined = new Map(roots)
  for (const [repo, commits] of candidate.roots) {
    for (const commit of commits) {
      const other = joined.get(repo)
      if (other !== undefined && other !== commit) return undefined
      joined.set(repo, commit)
    }
  }
  return joined
}
