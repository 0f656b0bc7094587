import { InvalidArgumentError } from '../../base/errors.ts'
import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'

/** The most commits that a name goes back, all its steps together: some 50 ms. */
export const ancestryStepsMax = 10_000
/** The most steps that a name has, as `^` or `~3` is one: each may need a look-up of what is before it. */
const ancestryPartsMax = 64
/** Longer names are not looked at. */
const textLengthMax = 1024
const operator = /[\^~]/
/** Of a name that makes no sense, so much is shown. */
const shownLengthMax = 100

/** A name that goes back from a commit. */
export interface Ancestry {
  /** What may name that commit, and how far the rest goes back from it: the longest name first. */
  readonly bases: readonly { readonly name: string; readonly steps: number }[]
  /** Whether the shortest still goes back, so that the name makes no sense if none of them is there. */
  readonly mayBeMalformed: boolean
}

/**
 * Takes `master^`, `master~3` or `master~2^` apart: `^` is the parent, `^N` and `~N` the N-th commit
 * before, `~` one before. Undefined for a name without any of this.
 *
 * @throws {InvalidArgumentError} for a name that cannot be read so, or that goes back too far.
 */
export function parseAncestry(text: string): Ancestry | undefined {
  if (!operator.test(text)) return undefined
  if (text.length > textLengthMax) throw malformedCommitName(text)
  const suffix = /(?:[\^~]\d*)+$/.exec(text)?.[0] ?? ''
  const parts = suffix.match(/[\^~]\d*/g) ?? []
  if (parts.length > ancestryPartsMax) {
    throw new InvalidArgumentError(
      `commit name ${shown(text)} has ${parts.length} steps, and at most ${ancestryPartsMax} are allowed: write ~N for N steps`,
    )
  }
  const bases: { name: string; steps: number }[] = []
  let name = text
  let steps = 0
  for (const part of parts.toReversed()) {
    name = name.slice(0, -part.length)
    steps += part.length === 1 ? 1 : Number(part.slice(1))
    if (steps > ancestryStepsMax) throw tooFar(text)
    if (name !== '') bases.push({ name, steps })
  }
  if (bases.length === 0) throw malformedCommitName(text)
  return { bases, mayBeMalformed: operator.test(bases.at(-1)?.name ?? '') }
}

/**
 * The commit `steps` before `start`, or, where the line is shorter, how many commits there are
 * before `start`. Costs one look-up a step.
 */
export async function walkBack(
  tx: ReadTransaction,
  start: CommitId,
  steps: number,
): Promise<{ readonly id: CommitId } | { readonly ancestorCount: number }> {
  const end = await tx.get<{ readonly id: CommitId; readonly depth: number }>(
    `WITH RECURSIVE line (id, depth) AS (
        SELECT id, 0 FROM commits WHERE id = ?
        UNION ALL
        SELECT parents.id, line.depth + 1 FROM line
          JOIN commits ON commits.id = line.id
          JOIN commits AS parents ON parents.id = commits.parent
          WHERE line.depth < ?
      )
      SELECT id, depth FROM line ORDER BY depth DESC LIMIT 1`,
    start,
    steps,
  )
  if (end?.depth === steps) return { id: end.id }
  return { ancestorCount: end?.depth ?? 0 }
}

export function malformedCommitName(text: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `commit name ${shown(text)} makes no sense: behind a branch, a commit tag or a commit id, write ^ for the parent or ~N for the N-th commit before, as in master^ or master~3`,
  )
}

function tooFar(text: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `commit name ${shown(text)} goes back too far: at most ${ancestryStepsMax} commits are counted; list-commit shows the ids of older ones`,
  )
}

function shown(text: string): string {
  const cut = text.length > shownLengthMax ? `${text.slice(0, shownLengthMax)}…` : text
  return JSON.stringify(cut)
}
