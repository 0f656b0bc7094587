import type { Datum } from '../datums.ts'
import type { JoinInput } from '../inputs.ts'
import { joinOrderKey } from '../datums/order-keys.ts'
import { AtomSource } from './atom-source.ts'
import { CrossSource } from './cross-source.ts'
import type { DatumSource } from './datum-source.ts'
import type { Indexed, Side } from './index-reader.ts'

/**
 * For each match key, every combination of one match of each member. Where a member has none, those
 * of the other members that are outer are combined without it.
 *
 * What changed follows from the match keys under which something changed; for one of these, from the
 * rule of a cross. Cost: the changed match keys, and the combinations under them.
 */
export class JoinSource implements DatumSource {
  readonly #of: Indexed<JoinInput>

  constructor(of: Indexed<JoinInput>) {
    this.#of = of
  }

  before(): AsyncIterable<Datum> {
    return this.#all('before')
  }

  after(): AsyncIterable<Datum> {
    return this.#all('after')
  }

  async *added(): AsyncGenerator<Datum> {
    if (this.#of.index.isFirst) {
      yield* this.after()
      return
    }
    for await (const { before, after } of this.#changed()) {
      yield* after.isLike(before) ? after.added() : after.after()
    }
  }

  async *removed(): AsyncGenerator<Datum> {
    if (this.#of.index.isFirst) return
    for await (const { before, after } of this.#changed()) {
      yield* after.isLike(before) ? before.removed() : before.before()
    }
  }

  async *unchanged(): AsyncGenerator<Datum> {
    if (!this.#of.index.isFirst) yield* this.#unaffected('after')
  }

  surviving(): AsyncIterable<Datum> {
    return this.#of.index.isFirst ? this.before() : this.#unaffected('before')
  }

  /** What stands on both sides and is the same. The changed match keys are held in memory. */
  async *#unaffected(side: Side): AsyncGenerator<Datum> {
    const changed = new Map<string, { readonly isLike: boolean }>()
    for await (const { matchKey, before, after } of this.#changed()) {
      changed.set(matchKey, { isLike: after.isLike(before) })
    }
    for await (const { matchKey, members } of this.#of.index.keys(side, this.#of.node)) {
      const found = this.#combined(matchKey, members)
      const change = changed.get(matchKey)
      if (change === undefined) yield* side === 'before' ? found.before() : found.after()
      else if (change.isLike) yield* side === 'before' ? found.surviving() : found.unchanged()
    }
  }

  async *#all(side: Side): AsyncGenerator<Datum> {
    for await (const { matchKey, members } of this.#of.index.keys(side, this.#of.node)) {
      const found = this.#combined(matchKey, members)
      yield* side === 'before' ? found.before() : found.after()
    }
  }

  async *#changed(): AsyncGenerator<{
    readonly matchKey: string
    readonly before: Combined
    readonly after: Combined
  }> {
    const node = this.#of.node
    for await (const matchKey of this.#of.index.changedKeys(node)) {
      const on = async (side: Side): Promise<Combined> => {
        const count = this.#of.input.members.length
        const members = await this.#of.index.members(side, { node, matchKey }, count)
        return this.#combined(matchKey, members)
      }
      yield { matchKey, before: await on('before'), after: await on('after') }
    }
  }

  /** What comes of a match key under which `found` members have something. */
  #combined(matchKey: string, found: ReadonlySet<number>): Combined {
    const { members } = this.#of.input
    const isWhole = found.size === members.length
    const taken = members.map(
      ({ outer }, member) => found.has(member) && (isWhole || outer === true),
    )
    const factors = members.flatMap(({ name }, member) => {
      if (taken[member] !== true) return []
      const matches = this.#of.index.matches({ node: this.#of.node, matchKey, member })
      return [new AtomSource(name, matches, this.#of.hashOf)]
    })
    return new Combined(matchKey, taken, factors)
  }
}

/** The combinations of what the members that are taken have under a match key. */
class Combined {
  readonly #matchKey: string
  readonly #taken: readonly boolean[]
  readonly #factors: readonly DatumSource[]
  readonly #cross: CrossSource

  constructor(matchKey: string, taken: readonly boolean[], factors: readonly DatumSource[]) {
    this.#matchKey = matchKey
    this.#taken = taken
    this.#factors = factors
    this.#cross = new CrossSource(factors)
  }

  /** Whether the same members are combined: then a datum may stand at the same place in both. */
  isLike(other: Combined): boolean {
    return this.#taken.every((isTaken, member) => isTaken === other.#taken[member])
  }

  before(): AsyncIterable<Datum> {
    return this.#placed(() => this.#cross.before())
  }

  after(): AsyncIterable<Datum> {
    return this.#placed(() => this.#cross.after())
  }

  added(): AsyncIterable<Datum> {
    return this.#placed(() => this.#cross.added())
  }

  removed(): AsyncIterable<Datum> {
    return this.#placed(() => this.#cross.removed())
  }

  unchanged(): AsyncIterable<Datum> {
    return this.#placed(() => this.#cross.unchanged())
  }

  surviving(): AsyncIterable<Datum> {
    return this.#placed(() => this.#cross.surviving())
  }

  async *#placed(combinations: () => AsyncIterable<Datum>): AsyncGenerator<Datum> {
    // Of no factors there is one combination, and that is no datum.
    if (this.#factors.length === 0) return
    for await (const { orderKey, members } of combinations()) {
      yield { orderKey: joinOrderKey(this.#matchKey, this.#taken, orderKey), members }
    }
  }
}
