import type { Glob } from '../../base/globs.ts'
import type {
  DirectoryEntry,
  PathDifference,
  PathEntry,
  TreeEntry,
} from '../../storage/file-trees.ts'
import type { Datum } from '../datums.ts'
import { atomOrderKey } from '../order-keys.ts'
import { lessThose, type DatumSource } from './datum-source.ts'

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
  entryHash(entry: TreeEntry): Uint8Array
}

/** A branch's tree at the last good job (if any) and now. */
export interface TreeChange {
  readonly before: DirectoryEntry | undefined
  readonly after: DirectoryEntry
}

/** The matches of a glob in one branch: each is a datum member. */
export class AtomSource implements DatumSource {
  readonly #trees: InputTrees
  readonly #input: string
  readonly #glob: Glob
  readonly #change: TreeChange

  constructor(
    trees: InputTrees,
    atom: { readonly input: string; readonly glob: Glob },
    change: TreeChange,
  ) {
    this.#trees = trees
    this.#input = atom.input
    this.#glob = atom.glob
    this.#change = change
  }

  async *before(): AsyncGenerator<Datum> {
    const root = this.#change.before
    if (root !== undefined) yield* this.#matches(root)
  }

  async *after(): AsyncGenerator<Datum> {
    yield* this.#matches(this.#change.after)
  }

  async *added(): AsyncGenerator<Datum> {
    const { before, after } = this.#change
    if (before === undefined) {
      yield* this.#matches(after)
      return
    }
    for await (const { path, after: entry } of this.#trees.globDiff(before, after, this.#glob)) {
      if (entry !== undefined) yield this.#datum({ path, entry })
    }
  }

  async *removed(): AsyncGenerator<Datum> {
    const { before, after } = this.#change
    if (before === undefined) return
    for await (const difference of this.#trees.globDiff(before, after, this.#glob)) {
      const { path, before: entry } = difference
      if (entry !== undefined && difference.after === undefined) yield this.#datum({ path, entry })
    }
  }

  async *unchanged(): AsyncGenerator<Datum> {
    if (this.#change.before === undefined) return
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

  async *#matches(root: DirectoryEntry): AsyncGenerator<Datum> {
    for await (const match of this.#trees.glob(root, this.#glob)) yield this.#datum(match)
  }

  #datum({ path, entry }: PathEntry): Datum {
    const hash = this.#trees.entryHash(entry)
    return { orderKey: atomOrderKey(path), members: [{ input: this.#input, path, hash }] }
  }
}
