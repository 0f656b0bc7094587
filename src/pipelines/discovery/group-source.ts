import { rootPath } from '../../base/paths.ts'
import type { Datum, DatumMember } from '../datums.ts'
import type { GroupInput } from '../inputs.ts'
import { groupOrderKey } from '../datums/order-keys.ts'
import { lessThose, type DatumSource } from './datum-source.ts'
import type { Indexed, Side } from './index-reader.ts'

/**
 * For each match key, one datum: of each member that has matches, a directory with all of them.
 *
 * Cost of what changed: the match keys under which something changed, however large their groups.
 */
export class GroupSource implements DatumSource {
  readonly #of: Indexed<GroupInput>

  constructor(of: Indexed<GroupInput>) {
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
    for await (const matchKey of this.#of.index.changedKeys(this.#of.node)) {
      const datum = await this.#datum('after', matchKey)
      if (datum !== undefined) yield datum
    }
  }

  async *removed(): AsyncGenerator<Datum> {
    if (this.#of.index.isFirst) return
    for await (const matchKey of this.#of.index.changedKeys(this.#of.node)) {
      const datum = await this.#datum('before', matchKey)
      if (datum !== undefined && (await this.#datum('after', matchKey)) === undefined) yield datum
    }
  }

  unchanged(): AsyncIterable<Datum> {
    return lessThose(
      () => this.after(),
      () => this.added(),
    )
  }

  surviving(): AsyncIterable<Datum> {
    return lessThose(
      () => this.before(),
      () => this.removed(),
    )
  }

  async *#all(side: Side): AsyncGenerator<Datum> {
    for await (const { matchKey } of this.#of.index.keys(side, this.#of.node)) {
      const datum = await this.#datum(side, matchKey)
      if (datum !== undefined) yield datum
    }
  }

  async #datum(side: Side, matchKey: string): Promise<Datum | undefined> {
    const members: DatumMember[] = []
    const place = { node: this.#of.node, matchKey }
    for await (const { member, entry } of this.#of.index.entries(side, place)) {
      const input = this.#of.input.members[member]?.name ?? ''
      members.push({ input, path: rootPath, hash: this.#of.hashOf(entry) })
    }
    return members.length === 0 ? undefined : { orderKey: groupOrderKey(matchKey), members }
  }
}
