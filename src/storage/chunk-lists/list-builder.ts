import { assert } from '../../base/errors.ts'
import type { ChunkId, ChunkStore } from '../chunks.ts'
import { type ChunkRef, decodeNode, encodeNode, endsNode, sizeOf } from './node.ts'

interface Level {
  /** The entries since the last node of this level ended. */
  entries: ChunkRef[]
  /** Whether a node of this level has ended. */
  hasEnded: boolean
}

/** What the chunks make together: one of them alone, or a list. */
export type BuiltList =
  | { readonly kind: 'chunk'; readonly ref: ChunkRef }
  | { readonly kind: 'list'; readonly ref: ChunkRef }

/**
 * Builds the list of chunks that are pushed one after another. Equal sequences give equal roots.
 * Holds one node of each level.
 */
export class ListBuilder {
  readonly #chunks: ChunkStore
  readonly #levels: Level[] = []

  constructor(chunks: ChunkStore) {
    this.#chunks = chunks
  }

  /** A builder that stands just before the last chunk of the list at `root`, and that chunk. */
  static async beforeLast(
    chunks: ChunkStore,
    root: ChunkId,
  ): Promise<{ readonly builder: ListBuilder; readonly last: ChunkRef }> {
    const builder = new ListBuilder(chunks)
    for (let id = root, hasEnded = false; ;) {
      const { level, entries } = decodeNode(id, await chunks.get(id))
      const last = entries.at(-1)
      assert(last !== undefined, 'a list node has some entries')
      const before = entries.slice(0, -1)
      builder.#levels[level] = { entries: before, hasEnded }
      if (level === 0) return { builder, last }
      hasEnded ||= before.length > 0
      id = last.id
    }
  }

  /** A builder that has been given the same, and goes its own way from here. */
  copy(): ListBuilder {
    const copy = new ListBuilder(this.#chunks)
    for (const { entries, hasEnded } of this.#levels) {
      copy.#levels.push({ entries: [...entries], hasEnded })
    }
    return copy
  }

  async push(ref: ChunkRef): Promise<void> {
    await this.#push(0, ref)
  }

  /** At least one chunk must have been pushed. */
  async finish(): Promise<BuiltList> {
    for (let index = 0; ; index += 1) {
      const level = this.#levels[index]
      assert(level !== undefined, 'a list has some chunks')
      const [only, another] = level.entries
      if (only !== undefined && another === undefined && !level.hasEnded) {
        return { kind: index === 0 ? 'chunk' : 'list', ref: only }
      }
      if (only !== undefined) await this.#endNode(index, level)
    }
  }

  async #push(index: number, ref: ChunkRef): Promise<void> {
    const level = (this.#levels[index] ??= { entries: [], hasEnded: false })
    level.entries.push(ref)
    if (endsNode(level.entries)) await this.#endNode(index, level)
  }

  async #endNode(index: number, level: Level): Promise<void> {
    const { entries } = level
    level.entries = []
    level.hasEnded = true
    const id = await this.#chunks.put(encodeNode({ level: index, entries }))
    await this.#push(index + 1, { id, sizeBytes: sizeOf(entries) })
  }
}
