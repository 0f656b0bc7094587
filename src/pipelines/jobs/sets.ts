import type { Member, SequenceRange } from './arrivals.ts'

/** What became heads together, of each position the latest. */
export class Sets {
  readonly #sets: readonly ReadonlyMap<number, number>[]

  constructor(members: Iterable<Member>) {
    const sets = new Map<number, Map<number, number>>()
    for (const { together, position, sequence } of members) {
      const set = sets.get(together) ?? new Map<number, number>()
      set.set(position, Math.max(sequence, set.get(position) ?? -Infinity))
      sets.set(together, set)
    }
    this.#sets = [...sets.values()].filter((set) => set.size > 1)
  }

  /**
   * Where the sequences of other positions have to be, beside this one: of each set with both, a member
   * or newer on both sides, or older on both.
   */
  windowsBeside(position: number, sequence: number): ReadonlyMap<number, SequenceRange> {
    const windows = new Map<number, { from: number; below: number }>()
    for (const set of this.#sets) {
      const own = set.get(position)
      if (own === undefined) continue
      for (const [other, member] of set) {
        if (other === position) continue
        const window = windows.get(other) ?? { from: -Infinity, below: Infinity }
        if (sequence >= own) window.from = Math.max(window.from, member)
        else window.below = Math.min(window.below, member)
        windows.set(other, window)
      }
    }
    return windows
  }
}
