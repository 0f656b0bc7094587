import type { CommitName } from '../../versioning/ports.ts'
import {
  type Candidate,
  type Common,
  type Conflict,
  type Fitting,
  join,
  nothingChosen,
} from './alignment.ts'
import type { Sets } from './sets.ts'

/** What is still to come to an input: newer than what any has, and made from who knows what. */
const toCome: Candidate = { sequence: Number.MAX_SAFE_INTEGER, roots: new Map() }

/** One input of a pipeline, and what may stand for it in a job. */
export interface Place {
  /** Of the branch among the pipeline's inputs. */
  readonly position: number
  /** Whether what is still to come may go with a commit of a root repo; without it, that is not chosen. */
  readonly mayFit?: ((root: CommitName) => Promise<boolean>) | undefined
  /** What the input has, newest first: at least all that fits. Without it, none of that is chosen. */
  readonly here?: ((common: Common) => Promise<Fitting<Candidate>>) | undefined
}

interface Question {
  readonly places: readonly Place[]
  readonly sets: Sets
  /** Nothing is made from another commit of this one's repo. */
  readonly beside: CommitName | undefined
  /** False once it is enough. */
  readonly mayTry: () => boolean
}

/**
 * Whether something can be chosen for each place so that one job may read all of it, as `align` has it;
 * true also when so much was tried that it is not known.
 *
 * Places are gone through in their order. Where one has nothing that fits, only choices that keep
 * something from it are made anew: how much waits elsewhere makes no difference.
 */
export async function canBeChosen({ places, sets, beside, mayTry }: Question): Promise<boolean> {
  /** Chooses from `places[depth]` on; undefined when that is done. */
  async function choose(
    depth: number,
    common: Common,
    coming: readonly Place[],
  ): Promise<Conflict | undefined> {
    const place = places[depth]
    if (place === undefined) return undefined
    const { position } = place
    const against = new Set<number>()
    for await (const option of optionsOf(place, common, against)) {
      if (!mayTry()) return undefined
      const joined = join(common, { ...option, position }, sets)
      const isComing = option === toCome
      if ('with' in joined) {
        for (const other of joined.with) against.add(other)
        continue
      }
      const misfit = await misfitOf(
        isComing ? [place] : coming,
        joined,
        isComing ? undefined : common,
      )
      if (misfit !== undefined) {
        for (const other of misfit.with) against.add(other)
        continue
      }
      const conflict = await choose(depth + 1, joined, isComing ? [...coming, place] : coming)
      // Whatever is chosen here makes no difference to what has nothing.
      if (conflict?.with.has(position) !== true) return conflict
      for (const other of conflict.with) against.add(other)
    }
    against.delete(position)
    return { with: against }
  }

  const roots: Common['roots'] = new Map(
    beside === undefined ? [] : [[beside.repo, { commit: beside.id, by: -1 }]],
  )
  return (await choose(0, { ...nothingChosen, roots }, [])) === undefined
}

/** Notes the positions because of which some of what is here was left out. */
async function* optionsOf(
  { mayFit, here }: Place,
  common: Common,
  against: Set<number>,
): AsyncGenerator<Candidate> {
  if (mayFit !== undefined) yield toCome
  if (here === undefined) return
  const { options, by } = await here(common)
  for (const other of by) against.add(other)
  yield* options
}

/** Which choices keep what is to come to some places from going with all roots; those of `before` do not. */
async function misfitOf(
  coming: readonly Place[],
  { roots }: Common,
  before: Common | undefined,
): Promise<Conflict | undefined> {
  for (const [repo, { commit, by }] of roots) {
    if (before?.roots.has(repo) === true) continue
    for (const { position, mayFit } of coming) {
      if ((await mayFit?.({ repo, id: commit })) === false) return { with: new Set([position, by]) }
    }
  }
  return undefined
}
