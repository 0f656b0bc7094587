import type { PathDifference, PathEntry, TreeEntry } from '../../storage/file-trees.ts'
import type { KeyRange, MapDifference, MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import { decodeTreeEntry } from '../../storage/tree-entries.ts'
import { indexRange, parseIndexKey, type IndexEntry } from './match-index.ts'
import type { Matches } from './matches.ts'

/** The index at the last good job (if any) and now. */
export interface IndexChange {
  readonly before: MapRoot | undefined
  readonly after: MapRoot
}

export type Side = 'before' | 'after'

/** A match key of a join or group. */
export interface KeyPlace {
  readonly node: number
  readonly matchKey: string
}

/** A join or group, and its matches. */
export interface Indexed<Of> {
  readonly input: Of
  /** The number of `input` in the index. */
  readonly node: number
  readonly index: IndexReader
  readonly hashOf: (entry: TreeEntry) => Uint8Array
}

/** Reads an index of matches, and how it changed. */
export class IndexReader {
  readonly #maps: ProllyMaps
  readonly #change: IndexChange
  readonly #only: ReadonlySet<number> | undefined

  /** `only`: of the other joins and groups, it tells no match keys. */
  constructor(maps: ProllyMaps, change: IndexChange, only?: ReadonlySet<number>) {
    this.#maps = maps
    this.#change = change
    this.#only = only
  }

  get isFirst(): boolean {
    return this.#change.before === undefined
  }

  /** The match keys of a join or group under which something changed. Cost: the changes. */
  async *changedKeys(node: number): AsyncGenerator<string> {
    if (this.#only?.has(node) === false) return
    let last: string | undefined
    for await (const { key } of this.#diff(indexRange({ node }))) {
      const { matchKey } = parseIndexKey(key)
      if (matchKey !== last) yield matchKey
      last = matchKey
    }
  }

  /** All match keys of a join or group, with the members that have something under each. */
  async *keys(
    side: Side,
    node: number,
  ): AsyncGenerator<{ readonly matchKey: string; readonly members: ReadonlySet<number> }> {
    if (this.#only?.has(node) === false) return
    let last: { readonly matchKey: string; readonly members: Set<number> } | undefined
    for await (const { matchKey, member } of this.#scan(side, indexRange({ node }))) {
      if (last?.matchKey !== matchKey) {
        if (last !== undefined) yield last
        last = { matchKey, members: new Set() }
      }
      last.members.add(member)
    }
    if (last !== undefined) yield last
  }

  /** The members that have something under a match key; `count`: of how many. */
  async members(side: Side, place: KeyPlace, count: number): Promise<ReadonlySet<number>> {
    const found = new Set<number>()
    for (let member = 0; member < count; member += 1) {
      for await (const _ of this.#scan(side, indexRange({ ...place, member }))) {
        found.add(member)
        break
      }
    }
    return found
  }

  /** What is under a match key, by member and then in tree order. */
  entries(side: Side, place: KeyPlace): AsyncIterable<IndexEntry> {
    return this.#scan(side, indexRange(place))
  }

  /** What one member has under a match key. */
  matches(place: KeyPlace & { readonly member: number }): Matches {
    const range = indexRange(place)
    return {
      isFirst: this.isFirst,
      before: () => this.#scan('before', range),
      after: () => this.#scan('after', range),
      differences: () => this.#differences(range),
    }
  }

  async *#differences(range: KeyRange): AsyncGenerator<PathDifference> {
    for await (const { key, before, after } of this.#diff(range)) {
      yield {
        path: parseIndexKey(key).path,
        before: before && decodeTreeEntry(before),
        after: after && decodeTreeEntry(after),
      }
    }
  }

  async *#diff(range: KeyRange): AsyncGenerator<MapDifference> {
    const { before, after } = this.#change
    yield* this.#maps.diff(before ?? (await this.#maps.empty()), after, range)
  }

  async *#scan(side: Side, range: KeyRange): AsyncGenerator<IndexEntry & PathEntry> {
    const root = this.#change[side]
    if (root === undefined) return
    for await (const { key, value } of this.#maps.scan(root, range)) {
      yield { ...parseIndexKey(key), entry: decodeTreeEntry(value) }
    }
  }
}
