import type { CommitId, RepoName } from '../../base/names.ts'
import type { SequenceRange } from './arrivals.ts'
import type { Roots } from './root-commits.ts'
import type { Sets } from './sets.ts'

/** A finished commit of one input branch that may become part of a job, or what is still to come. */
export interface Candidate {
  /** Orders what comes to the inputs, together. */
  readonly sequence: number
  /** Those that it is made from; itself, when it is one. */
  readonly roots: Roots
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

/** Where a search broke off: what it was about to try, of each position that it had come to. */
export type Path = readonly Step[]

interface Step {
  readonly sequence: number
  /** What was tried before it contradicts the choices of these positions. */
  readonly against: ReadonlySet<number>
}

/** One of every input, in their order; nothing, or so much has been tried that the search is to go on later. */
export type Alignment<Option> =
  | { readonly kind: 'found'; readonly options: readonly Option[] }
  | { readonly kind: 'none' }
  | { readonly kind: 'later'; readonly path: Path }

interface Question<Option extends Candidate> {
  /** The position that is chosen first. */
  readonly first?: number
  readonly sets: Windows
  /** Asked before each try: false breaks the search off. */
  readonly mayTry?: () => boolean
  /** Where a search before broke off. */
  readonly path?: Path | undefined
  /**
   * Asked where nothing was found at a position: whether that is so whatever else is chosen beside an
   * option. Where that is its own position: it goes with nothing.
   */
  readonly lacks?: (option: Option, position: number) => Promise<boolean>
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
 * `none`: the lagging input has not caught up.
 */
export async function align<Option extends Candidate>(
  inputs: readonly Candidates<Option>[],
  question: Question<Option>,
): Promise<Alignment<Option>> {
  const { first = 0, sets, mayTry = () => true, path = [], lacks } = question
  const order = [first, ...inputs.keys().filter((position) => position !== first)]
  const chosen = new Map<number, Option>()

  /** Chooses from `order[depth]` on; undefined when that is done. */
  async function choose(
    depth: number,
    common: Common,
    goingOn: Path,
  ): Promise<Conflict | { readonly path: Path } | undefined> {
    const position = order[depth]
    const input = position === undefined ? undefined : inputs[position]
    if (position === undefined || input === undefined) return undefined
    const [step, ...further] = goingOn
    const { options, by } = await input.fitting(step ? upTo(common, position, step) : common)
    const against = new Set([...by, ...(step?.against ?? [])])
    for await (const option of options) {
      const { sequence } = option
      const hasBegun = sequence === step?.sequence && further.length > 0
      if (!hasBegun && !mayTry()) return { path: [{ sequence, against }] }
      const joined = join(common, { ...option, position }, sets)
      if ('with' in joined) {
        if (joined.with.size === 0) await lacks?.(option, position)
        for (const other of joined.with) against.add(other)
        continue
      }
      chosen.set(position, option)
      const failure = await choose(depth + 1, joined, hasBegun ? further : [])
      if (failure === undefined) return undefined
      chosen.delete(position)
      if ('path' in failure) return { path: [{ sequence, against }, ...failure.path] }
      // Whatever is chosen here makes no difference to what has nothing.
      if (!failure.with.has(position)) return failure
      for (const other of failure.with) if (other !== position) against.add(other)
    }
    return await causeOf(depth, against)
  }

  /** Why there is nothing at `order[depth]`: a single choice, if it is because of that alone. */
  async function causeOf(depth: number, against: ReadonlySet<number>): Promise<Conflict> {
    const position = order[depth] ?? first
    for (const other of order.slice(0, depth)) {
      const option = chosen.get(other)
      if (option === undefined || (other !== first && !against.has(other))) continue
      if ((await lacks?.(option, position)) === true) return { with: new Set([other]) }
    }
    return { with: against }
  }

  const failure = await choose(0, nothingChosen, path)
  if (failure !== undefined) {
    return 'path' in failure ? { kind: 'later', path: failure.path } : { kind: 'none' }
  }
  return { kind: 'found', options: inputs.flatMap((_, position) => chosen.get(position) ?? []) }
}

/** `common`, for a search that has tried at `position` what is newer than a step. */
function upTo({ roots, windows }: Common, position: number, { sequence }: Step): Common {
  const window = windows.get(position)
  const below = Math.min(window?.below ?? Infinity, sequence + 1)
  const narrowed = { from: window?.from ?? -Infinity, below, by: window?.by ?? new Set<number>() }
  return { roots, windows: new Map(windows).set(position, narrowed) }
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
