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

/**
 * Chooses one candidate of every input so that together they are made from one commit of each root
 * repo: two branches of a diamond meet only where they come from the same commit.
 *
 * `candidates` lists each input's candidates, newest first; the first choice that fits wins, so
 * newer commits are preferred, those of earlier inputs most. Returns undefined when none fits (the
 * lagging input has not caught up).
 */
export function align<Option extends Candidate>(
  candidates: readonly (readonly Option[])[],
): readonly Option[] | undefined {
  const chosen: Option[] = []

  function choose(roots: ReadonlyMap<RepoName, CommitId>): boolean {
    const options = candidates[chosen.length]
    if (options === undefined) return true
    for (const option of options) {
      const joined = joinRoots(roots, option)
      if (joined === undefined) continue
      chosen.push(option)
      if (choose(joined)) return true
      chosen.pop()
    }
    return false
  }

  return choose(new Map()) ? chosen : undefined
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
