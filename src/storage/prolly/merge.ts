import { compareBytes, equalBytes } from '../../base/bytes.ts'
import type { MapConflict, MapDifference, MapEdit } from '../map-entries.ts'

/** Decides the value of a key that both sides changed; may throw to refuse the merge. */
export type ConflictResolver = (
  conflict: MapConflict,
) => Uint8Array | undefined | Promise<Uint8Array | undefined>

/** The edits that bring their changes since a common base into ours. Both sorted by key. */
export async function* mergeEdits(
  ourChanges: AsyncGenerator<MapDifference>,
  theirChanges: AsyncIterable<MapDifference>,
  resolve: ConflictResolver,
): AsyncGenerator<MapEdit> {
  try {
    let ours = await ourChanges.next()
    for await (const theirs of theirChanges) {
      const { key } = theirs
      while (ours.done !== true && compareBytes(ours.value.key, key) < 0) {
        ours = await ourChanges.next()
      }
      if (ours.done === true || compareBytes(ours.value.key, key) > 0) {
        yield { key, value: theirs.after }
      } else if (!sameValue(ours.value.after, theirs.after)) {
        const conflict = {
          key,
          base: theirs.before,
          ours: ours.value.after,
          theirs: theirs.after,
        }
        yield { key, value: await resolve(conflict) }
      }
    }
  } finally {
    await ourChanges.return(undefined)
  }
}

function sameValue(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === undefined || right === undefined) return left === right
  return equalBytes(left, right)
}
