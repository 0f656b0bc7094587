import { compareBytes } from '../../base/bytes.ts'
import { DomainError } from '../../base/errors.ts'
import { parentPath, pathKey, rootPath, type FilePath } from '../../base/paths.ts'
import { contentSizeBytes, type Content, type Contents } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import type { MapEdit, MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import { decodeTreeEntry, encodeTreeEntry } from '../../storage/tree-entries.ts'
import { contributionKey, contributionRange, leafChanges, orderKeyOf } from './contributions.ts'

/**
 * A job's output: its tree, and who contributed what to each path of it, from which the tree of
 * the next job is made at the cost of what changed.
 */
export interface Output {
  readonly tree: DirectoryEntry
  /** (Path, order key) → the file, or the empty directory, that the datum wrote there. */
  readonly contributions: MapRoot
}

/** What a datum's output was and is; `undefined` where there is no such datum. */
export interface OutputChange {
  readonly orderKey: Uint8Array
  readonly before: DirectoryEntry | undefined
  readonly after: DirectoryEntry | undefined
}

/** Two datums wrote a file and a directory to one path. */
export class OutputClashError extends DomainError {
  override readonly name = 'OutputClashError'
  readonly kind = 'failed-precondition'
  readonly path: FilePath
  /** Of the datum that wrote the file, and of the other one. */
  readonly orderKeys: readonly [Uint8Array, Uint8Array]

  constructor(path: FilePath, orderKeys: readonly [Uint8Array, Uint8Array]) {
    super(
      `could not merge path "${path}" which is a file in some hashtrees and a directory in others`,
    )
    this.path = path
    this.orderKeys = orderKeys
  }
}

/** Contributions that are put into the maps at a time; bounds the memory of a merge. */
const batchPathCountMax = 20_000
const batchBytesMax = 8 * 1024 * 1024

/** What some datum wrote to a path. */
interface Part {
  readonly orderKey: Uint8Array
  readonly entry: TreeEntry
}

/** What the datums of a path wrote there, however many they are: the first of each kind. */
interface PathContributions {
  readonly first: Part | undefined
  readonly firstFile: { readonly orderKey: Uint8Array; readonly content: Content } | undefined
  readonly firstDirectory: Part | undefined
  readonly fileCount: number
  /** The order key of a datum that wrote something below the path. */
  readonly below: Uint8Array | undefined
}

/**
 * Merges datum outputs into one tree: different paths side by side; one path of several datums
 * joined in datum order. The result depends on the datums and their outputs only, not on the order
 * in which they ran or on the tree it started from.
 */
export class OutputMerge {
  readonly #trees: FileTrees
  readonly #maps: ProllyMaps
  readonly #contents: Contents

  constructor(ports: {
    readonly trees: FileTrees
    readonly maps: ProllyMaps
    readonly contents: Contents
  }) {
    this.#trees = ports.trees
    this.#maps = ports.maps
    this.#contents = ports.contents
  }

  async empty(): Promise<Output> {
    return { tree: await this.#trees.emptyRoot(), contributions: await this.#maps.empty() }
  }

  /**
   * Applies changes of datum outputs. `changes` starts anew at each call: what went is taken out
   * before what came is put in, so that a datum may take a path over from another.
   *
   * `addedBytes` counts the full new size of each file added or changed.
   *
   * @throws {OutputClashError}
   */
  async apply(
    output: Output,
    changes: () => AsyncIterable<OutputChange>,
  ): Promise<{ readonly output: Output; readonly addedBytes: number }> {
    let merged = output
    let addedBytes = 0
    for (const pass of ['remove', 'add'] as const) {
      for await (const batch of this.#batches(changes(), pass)) {
        const step = await this.#applyBatch(merged, batch)
        merged = step.output
        addedBytes += step.addedBytes
      }
    }
    return { output: merged, addedBytes }
  }

  async *#batches(
    changes: AsyncIterable<OutputChange>,
    pass: 'remove' | 'add',
  ): AsyncGenerator<Batch> {
    let batch = new Batch()
    for await (const { orderKey, before, after } of changes) {
      if (before === undefined && pass === 'remove') continue
      for await (const leaf of leafChanges(this.#trees, before, after)) {
        // A file in place of an empty directory, or the reverse, goes before it comes.
        const goes = leaf.before !== undefined && leaf.before.kind !== leaf.after?.kind
        if (pass === 'remove' && goes) batch.add(leaf.path, orderKey, undefined)
        if (pass === 'add' && leaf.after !== undefined) batch.add(leaf.path, orderKey, leaf.after)
        if (!batch.isFull) continue
        yield batch
        batch = new Batch()
      }
    }
    if (!batch.isEmpty) yield batch
  }

  async #applyBatch(
    output: Output,
    batch: Batch,
  ): Promise<{ readonly output: Output; readonly addedBytes: number }> {
    const contributions = await this.#maps.edit(output.contributions, batch.edits())
    const edits: TreeEdit[] = []
    let addedBytes = 0
    const clashes = new ClashCheck((path) => this.#at(contributions, path))
    for (const path of batch.paths()) {
      const entry = await this.#entryOf(path, contributions, clashes)
      if (entry === 'keep') continue
      edits.push({ path, entry })
      if (entry?.kind === 'file') addedBytes += contentSizeBytes(entry.content)
    }
    const tree = await this.#trees.edit(output.tree, edits, { emptied: 'remove' })
    return { output: { tree, contributions }, addedBytes }
  }

  /** What the tree has at `path`: nothing, an entry, or (`keep`) just what is below it. */
  async #entryOf(
    path: FilePath,
    contributions: MapRoot,
    clashes: ClashCheck,
  ): Promise<TreeEntry | undefined | 'keep'> {
    const { first, firstFile, firstDirectory, fileCount, below } = await this.#at(
      contributions,
      path,
    )
    const other = firstDirectory?.orderKey ?? below
    if (firstFile !== undefined && other !== undefined) {
      throw new OutputClashError(path, [firstFile.orderKey, other])
    }
    if (first !== undefined) await clashes.refuseFileAbove(path, first.orderKey)
    if (firstFile !== undefined) {
      const content = fileCount === 1 ? firstFile.content : await this.#joined(contributions, path)
      return { kind: 'file', content }
    }
    if (below !== undefined) return 'keep'
    return first === undefined ? undefined : await this.#trees.emptyRoot()
  }

  async #joined(contributions: MapRoot, path: FilePath): Promise<Content> {
    const { from, below } = contributionRange(path)
    const parts = this.#maps.scan(contributions, { from, to: below })
    const contents = this.#contents
    return await contents.write(
      (async function* joined() {
        for await (const { value } of parts) {
          const entry = decodeTreeEntry(value)
          if (entry.kind === 'file') yield* contents.read(entry.content)
        }
      })(),
    )
  }

  async #at(contributions: MapRoot, path: FilePath): Promise<PathContributions> {
    let first: Part | undefined
    let firstFile: PathContributions['firstFile']
    let firstDirectory: Part | undefined
    let fileCount = 0
    let below: Uint8Array | undefined
    const range = contributionRange(path)
    for await (const { key, value } of this.#maps.scan(contributions, range)) {
      if (compareBytes(key, range.below) >= 0) {
        below = orderKeyOf(key)
        break
      }
      const part = { orderKey: orderKeyOf(key), entry: decodeTreeEntry(value) }
      const { orderKey, entry } = part
      first ??= part
      if (entry.kind === 'file') {
        firstFile ??= { orderKey, content: entry.content }
        fileCount += 1
      } else firstDirectory ??= part
    }
    return { first, firstFile, firstDirectory, fileCount, below }
  }
}

/** Edits of contributions, and the paths whose entry they may change. */
class Batch {
  readonly #edits: MapEdit[] = []
  readonly #paths = new Map<FilePath, Uint8Array>()

  #bytes = 0

  get isEmpty(): boolean {
    return this.#edits.length === 0
  }

  get isFull(): boolean {
    return this.#edits.length >= batchPathCountMax || this.#bytes >= batchBytesMax
  }

  add(path: FilePath, orderKey: Uint8Array, entry: TreeEntry | undefined): void {
    const value = entry === undefined ? undefined : encodeTreeEntry(entry)
    const key = contributionKey(path, orderKey)
    this.#edits.push({ key, value })
    this.#bytes += key.length + path.length + (value?.length ?? 0)
    this.#touch(path)
    if (entry !== undefined) return
    // An empty directory that another datum wrote shows again once nothing is left in it.
    for (let above = parentPath(path); above !== rootPath; above = parentPath(above)) {
      this.#touch(above)
    }
  }

  edits(): readonly MapEdit[] {
    return this.#edits.toSorted((left, right) => compareBytes(left.key, right.key))
  }

  paths(): readonly FilePath[] {
    const sorted = [...this.#paths].toSorted(([, left], [, right]) => compareBytes(left, right))
    return sorted.map(([path]) => path)
  }

  #touch(path: FilePath): void {
    this.#paths.set(path, pathKey(path))
  }
}

/** Finds files that stand where the directories of other datums' paths are, each looked up once. */
class ClashCheck {
  readonly #at: (path: FilePath) => Promise<PathContributions>
  readonly #files = new Map<FilePath, Uint8Array | undefined>()

  constructor(at: (path: FilePath) => Promise<PathContributions>) {
    this.#at = at
  }

  async refuseFileAbove(path: FilePath, orderKey: Uint8Array): Promise<void> {
    for (let above = parentPath(path); above !== rootPath; above = parentPath(above)) {
      if (!this.#files.has(above)) this.#files.set(above, await this.#fileAt(above))
      const file = this.#files.get(above)
      if (file !== undefined) throw new OutputClashError(above, [file, orderKey])
    }
  }

  async #fileAt(path: FilePath): Promise<Uint8Array | undefined> {
    return (await this.#at(path)).firstFile?.orderKey
  }
}
