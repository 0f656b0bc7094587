import type { PathEntry, TreeEntry } from '../../storage/file-trees.ts'
import type { Datum } from '../datums.ts'
import { atomOrderKey } from '../datums/order-keys.ts'
import { lessThose, type DatumSource } from './datum-source.ts'
import type { Matches } from './matches.ts'

/** Each match is a datum of one member. */
export class AtomSource implements DatumSource {
  readonly #input: string
  readonly #matches: Matches
  readonly #hashOf: (entry: TreeEntry) => Uint8Array

  /** `input` is the name under which user code finds the match. */
  constructor(input: string, matches: Matches, hashOf: (entry: TreeEntry) => Uint8Array) {
    this.#input = input
    this.#matches = matches
    this.#hashOf = hashOf
  }

  before(): AsyncIterable<Datum> {
    return this.#datums(this.#matches.before())
  }

  after(): AsyncIterable<Datum> {
    return this.#datums(this.#matches.after())
  }

  async *added(): AsyncGenerator<Datum> {
    if (this.#matches.isFirst) {
      yield* this.after()
      return
    }
    for await (const { path, after: entry } of this.#matches.differences()) {
      if (entry !== undefined) yield this.#datum({ path, entry })
    }
  }

  async *removed(): AsyncGenerator<Datum> {
    if (this.#matches.isFirst) return
    for await (const { path, before: entry, after } of this.#matches.differences()) {
      if (entry !== undefined && after === undefined) yield this.#datum({ path, entry })
    }
  }

  async *unchanged(): AsyncGenerator<Datum> {
    if (this.#matches.isFirst) return
    yield* lessThose(
      () => this.after(),
      () => this.added(),
    )
  }

  async *surviving(): AsyncGenerator<Datum> {
    yield* lessThose(
      () => this.before(),
      () => this.removed(),
    )
  }

  async *#datums(matches: AsyncIterable<PathEntry>): AsyncGenerator<Datum> {
    for await (const match of matches) yield this.#datum(match)
  }

  #datum({ path, entry }: PathEntry): Datum {
    const member = { input: this.#input, path, hash: this.#hashOf(entry) }
    return { orderKey: atomOrderKey(path), members: [member] }
  }
}
