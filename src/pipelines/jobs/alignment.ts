import type { CommitId, RepoName } from '../../base/names.ts'
import type { SequenceRange } from './arrivals.ts'
import type { Sets } from './sets.ts'

/** Options that are tried for one question; what is chosen among more of them waits for better ones. */
const triesMax = 10_000

/** A finished commit of one input branch that may become part of a job, or what is still to come. */
export interface Candidate {
  /** Orders what comes to the inputs, together. */
  readonly sequence: number
  /**
   * The commits of repos without provenance that it is made from, by repo; itself, when its own
   * repo has none.
   */
  readonly roots: ReadonlyMap<RepoName, ReadonlySet<CommitId>>
}

/** What can be chosen for one input. */
export interface Candidates<Option extends Candidate> {
  /** At least those that fit what is chosen already, newest first. */
  fitting(common: Common): Fitting<Option> | Promise<Fitting<Option>>
}

export interface Fitting<Option extends Candidate> {
  readonly options: AsyncIterable<Option>
  /** Positions for whose choice some may have been left out. */
  readonly by: Iterable<number>
}

/** What all that is chosen agrees on, and since which choices. */
export interface Common {
  readonly roots: ReadonlyMap<RepoName, Agreed>
  /** For inputs with which a choice has sets in common. */
  readonly windows: ReadonlyMap<number, Window>
}

interface Agreed {
  readonly commit: CommitId
  /** A position. */
  readonly by: number
}

/** Where the sequence of what is chosen for an input has to be. */
export interface Window extends SequenceRange {
  /** Positions. */
  readonly by: ReadonlySet<number>
}

type Windows = Pick<Sets, 'windowsBeside'>

/** Why a choice does not fit: positions whose choices it contradicts. */
export interface Conflict {
  readonly with: ReadonlySet<number>
}

/**
 * Chooses one candidate of every input so that together they are made from one commit of each root
 * repo: two branches of a diamond meet only where they come from the same commit. What became heads
 * together (`sets`) is chosen together, or newer, or what was before it everywhere.
 *
 * The first choice that fits wins, so newer commits are preferred, those of `first` most, then those of
 * earlier inputs. Where an input has nothing that fits, only choices that keep something from it are
 * made anew: inputs that have nothing to do with each other cost what they cost alone.
 *
 * @returns undefined when none fits (the lagging input has not caught up).
 */
export async function align<Option extends Candidate>(
  inputs: readonly Candidates<Option>[],
  { first = 0, sets }: { readonly first?: number; readonly sets: Windows },
): Promise<readonly Option[] | undefined> {
  const order = [first, ...inputs.keys().filter((position) => position !== first)]
  const chosen = new Map<number, Option>()
  let triesLeft = triesMax

  /** Chooses from `order[depth]` on; undefined when that is done. */
  async function choose(depth: number, common: Common): Promise<Conflict | undefined> {
    const position = order[depth]
    const input = position === undefined ? undefined : inputs[position]
    if (position === undefined || input === undefined) return undefined
    const { options, by } = await input.fitting(common)
    const against = new Set(by)
    for await (const option of options) {
      triesLeft -= 1
      if (triesLeft < 0) return { with: new Set() }
      const joined = join(common, { ...option, position }, sets)
      if ('with' in joined) {
        for (const other of joined.with) against.add(other)
        continue
      }
      chosen.set(position, option)
      const conflict = await choose(depth + 1, joined)
      if (conflict === undefined) return undefined
      chosen.delete(position)
      // Whatever is chosen here makes no difference to what has nothing.
      if (!conflict.with.has(position)) return conflict
      for (const other of conflict.with) if (other !== position) against.add(other)
    }
    return { with: against }
  }

  if ((await choose(0, nothingChosen)) !== undefined) return undefined
  return inputs.flatMap((_, position) => chosen.get(position) ?? [])
}

export const nothingChosen: Common = { roots: new Map(), windows: new Map() }

/** What all agree on when `candidate` is chosen, too. */
export function join(
  common: Common,
  candidate: Candidate & { readonly position: number },
  sets: Windows,
): Common | Conflict {
  const { position, sequence } = candidate
  const window = common.windows.get(position)
  if (window !== undefined && (sequence < window.from || sequence >= window.below)) {
    return { with: window.by }
  }
  const roots = joinRoots(common.roots, candidate)
  if ('with' in roots) return roots
  return { roots, windows: joinWindows(common.windows, candidate, sets) }
}

/** `roots` with those of `candidate`, where they do not name two commits of a repo. */
function joinRoots(
  roots: Common['roots'],
  { roots: own, position }: Candidate & { readonly position: number },
): Common['roots'] | Conflict {
  const joined = new Map(roots)
  for (const [repo, commits] of own) {
    for (const commit of commits) {
      const other = joined.get(repo)
      if (other === undefined) joined.set(repo, { commit, by: position })
      else if (other.commit !== commit) {
        // With another of its own, it fits nothing.
        return { with: new Set(other.by === position ? [] : [other.by]) }
      }
    }
  }
  return joined
}

function joinWindows(
  windows: Common['windows'],
  { position, sequence }: Candidate & { readonly position: number },
  sets: Windows,
): Common['windows'] {
  const joined = new Map(windows)
  for (const [other, { from, below }] of sets.windowsBeside(position, sequence)) {
    const known = windows.get(other)
    joined.set(other, {
      from: Math.max(from, known?.from ?? -Infinity),
      below: Math.min(below, known?.below ?? Infinity),
      by: new Set([...(known?.by ?? []), position]),
    })
  }
  return joined
}
