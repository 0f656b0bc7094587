import type { Glob } from '../../base/globs.ts'
import type { DirectoryEntry, PathDifference, PathEntry } from '../../storage/file-trees.ts'

/** The matches of one input, before and after a change, each in tree order. */
export interface Matches {
  /** There was no earlier state: everything is different. */
  readonly isFirst: boolean
  before(): AsyncIterable<PathEntry>
  after(): AsyncIterable<PathEntry>
  differences(): AsyncIterable<PathDifference>
}

/** What discovery asks of file trees. */
export interface InputTrees {
  /** Matches in tree order. */
  glob(root: DirectoryEntry, glob: Glob): AsyncIterable<PathEntry>
  /** Matches that differ, in tree order; visits changed directories only. */
  globDiff(
    before: DirectoryEntry | undefined,
    after: DirectoryEntry,
    glob: Glob,
  ): AsyncIterable<PathDifference>
}

/** A branch's tree at the last good job (if any) and now. */
export interface TreeChange {
  readonly before: DirectoryEntry | undefined
  readonly after: DirectoryEntry
}

/** What a glob matches in a branch's trees. */
export class TreeMatches implements Matches {
  readonly #trees: InputTrees
  readonly #glob: Glob
  readonly #change: TreeChange

  constructor(trees: InputTrees, glob: Glob, change: TreeChange) {
    this.#trees = trees
    this.#glob = glob
    this.#change = change
  }

  get isFirst(): boolean {
    return this.#change.before === undefined
  }

  async *before(): AsyncGenerator<PathEntry> {
    const { before } = this.#change
    if (before !== undefined) yield* this.#trees.glob(before, this.#glob)
  }

  after(): AsyncIterable<PathEntry> {
    return this.#trees.glob(this.#change.after, this.#glob)
  }

  async *differences(): AsyncGenerator<PathDifference> {
    const { before, after } = this.#change
    yield* this.#trees.globDiff(before, after, this.#glob)
  }
}
