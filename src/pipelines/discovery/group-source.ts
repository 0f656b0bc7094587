import { rootPath } from '../../base/paths.ts'
import type { TreeEntry } from '../../storage/file-trees.ts'
import type { Datum, DatumMember } from '../datums.ts'
import type { GroupInput } from '../inputs.ts'
import { groupOrderKey } from '../datums/order-keys.ts'
import { lessThose, type DatumSource } from './datum-source.ts'
import type { IndexReader, Side } from './index-reader.ts'

/**
 * For each match key, one datum: of each member that has matches, a directory with all of them.
 *
 * Cost of what changed: the match keys under which something changed, however large their groups.
 */
export class GroupSource implements DatumSource {
  readonly #input: GroupInput
  readonly #node: number
  readonly #index: IndexReader
  readonly #hashOf: (entry: TreeEntry) => Uint8Array

  /** `node` is the number of `input` in the index. */
  constructor(
    input: GroupInput,
    node: number,
    index: IndexReader,
    hashOf: (entry: TreeEntry) => Uint8Array,
  ) {
    this.#input = input
    this.#node = node
    this.#index = index
    this.#hashOf = hashOf
  }

  before(): AsyncIterable<Datum> {
    return this.#all('before')
  }

  after(): AsyncIterable<Datum> {
    return this.#all('after')
  }

  async *added(): AsyncGenerator<Datum> {
    if (this.#index.isFirst) {
      yield* this.after()
      return
    }
    for await (const matchKey of this.#index.changedKeys(this.#node)) {
      const datum = await this.#datum('after', matchKey)
      if (datum !== undefined) yield datum
    }
  }

  async *removed(): AsyncGenerator<Datum> {
    if (this.#index.isFirst) return
    for await (const matchKey of this.#index.changedKeys(this.#node)) {
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
    for await (const { matchKey } of this.#index.keys(side, this.#node)) {
      const datum = await this.#datum(side, matchKey)
      if (datum !== undefined) yield datum
    }
  }

  async #datum(side: Side, matchKey: string): Promise<Datum | undefined> {
    const members: DatumMember[] = []
    const place = { node: this.#node, matchKey }
    for await (const { member, entry } of this.#index.entries(side, place)) {
      const input = this.#input.members[member]?.name ?? ''
      members.push({ input, path: rootPath, hash: this.#hashOf(entry) })
    }
    return members.length === 0 ? undefined : { orderKey: groupOrderKey(matchKey), members }
  }
}
