import { compareBytes, equalBytes } from '../../base/bytes.ts'
import type { MapConflict, MapEdit } from './map-entries.ts'
import type { TreeDiff } from './walk.ts'

/** How theirs differs from the base, and from ours. */
export interface MergeDiffs {
  readonly sinceBase: TreeDiff
  readonly fromOurs: TreeDiff
}

/** Decides the value of a key that both sides changed; may throw to refuse the merge. */
export type ConflictResolver = (
  conflict: MapConflict,
) => Uint8Array | undefined | Promise<Uint8Array | undefined>

/**
 * The edits that bring their changes since a common base into ours, by key: what theirs has otherwise
 * than the base and otherwise than ours. What is equal in two of the three is passed over, whole
 * subtrees unread: the cost follows the fewer of their changes and their differences from ours.
 */
export async function* mergeEdits(
  { sinceBase, fromOurs }: MergeDiffs,
  resolve: ConflictResolver,
  nextStep: () => Promise<void> | undefined = noWait,
): AsyncGenerator<MapEdit> {
  let change = await sinceBase.next()
  let lack = await fromOurs.next()
  while (change !== undefined && lack !== undefined) {
    const turn = nextStep()
    if (turn !== undefined) await turn
    const order = compareBytes(change.key, lack.key)
    if (order < 0) {
      await sinceBase.seek(lack.key)
    } else if (order > 0) {
      await fromOurs.seek(change.key)
    } else {
      const { key, before: base, after: theirs } = change
      const ours = lack.before
      const isOursUnchanged = sameValue(base, ours)
      yield { key, value: isOursUnchanged ? theirs : await resolve({ key, base, ours, theirs }) }
    }
    if (order <= 0) change = await sinceBase.next()
    if (order >= 0) lack = await fromOurs.next()
  }
}

function noWait(): undefined {
  return undefined
}

function sameValue(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === undefined || right === undefined) return left === right
  return equalBytes(left, right)
}
