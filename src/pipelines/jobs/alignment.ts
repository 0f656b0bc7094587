import type { CommitId, RepoName } from '../../base/names.ts'

/** A finished commit of one input branch that may become part of a job. */
export interface Candidate {
  readonly commit: CommitId
  /**
   * The commits of repos without provenance that it is made from, by repo; itself, when its own
   * repo has none.
   */
  readonly roots: ReadonlyMap<RepoName, ReadonlySet<CommitId>>
  /**
   * For each set of commits that became heads together and has one on this branch: whether the
   * candidate is that one, or newer.
   */
  readonly sides: ReadonlyMap<number, boolean>
}

/** The candidates of one input, newest first, fetched as far as they are looked at. */
export interface Candidates<Option extends Candidate> {
  /** The candidate after `index` newer ones; undefined after the last. */
  at(index: number): Promise<Option | undefined>
}

/**
 * Chooses one candidate of every input so that together they are made from one commit of each root
 * repo: two branches of a diamond meet only where they come from the same commit. What became heads
 * together is chosen together, or newer, or what was before it everywhere.
 *
 * The first choice that fits wins, so newer commits are preferred, those of earlier inputs most.
 * Returns undefined when none fits (the lagging input has not caught up).
 */
export async function align<Option extends Candidate>(
  candidates: readonly Candidates<Option>[],
): Promise<readonly Option[] | undefined> {
  const chosen: Option[] = []

  async function choose(common: Common): Promise<boolean> {
    const options = candidates[chosen.length]
    if (options === undefined) return true
    for (let index = 0; ; index += 1) {
      const option = await options.at(index)
      if (option === undefined) return false
      const joined = join(common, option)
      if (joined === undefined) continue
      chosen.push(option)
      if (await choose(joined)) return true
      chosen.pop()
    }
  }

  return (await choose(nothingChosen)) ? chosen : undefined
}

/** What all of the chosen candidates agree on. */
export interface Common {
  readonly roots: ReadonlyMap<RepoName, CommitId>
  readonly sides: ReadonlyMap<number, boolean>
}

export const nothingChosen: Common = { roots: new Map(), sides: new Map() }

/** What they agree on when `candidate` is chosen, too; undefined when it does not fit. */
export function join(
  common: Common,
  candidate: Pick<Candidate, 'roots' | 'sides'>,
): Common | undefined {
  const sides = new Map(common.sides)
  for (const [set, side] of candidate.sides) {
    if ((sides.get(set) ?? side) !== side) return undefined
    sides.set(set, side)
  }
  const roots = joinRoots(common.roots, candidate)
  return roots === undefined ? undefined : { roots, sides }
}

/** `roots` with those of `candidate`, or undefined where they would name two commits of a repo. */
function joinRoots(
  roots: ReadonlyMap<RepoName, CommitId>,
  candidate: Pick<Candidate, 'roots'>,
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
