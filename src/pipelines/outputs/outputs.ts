import { inBatches } from '../../base/batched.ts'
import { compareBytes } from '../../base/bytes.ts'
import { DomainError } from '../../base/errors.ts'
import { type FilePath, isWithin, parentPath, rootPath } from '../../base/paths.ts'
import { contentSizeBytes, type Content, type Contents } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import { GatheredEdits } from '../../storage/gathered-edits.ts'
import type { MapEdit, MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import { decodeTreeEntry, encodeTreeEntry } from '../../storage/tree-entries.ts'
import {
  contributionKey,
  contributionRange,
  leafChanges,
  orderKeyOf,
  pathOfContribution,
} from './contributions.ts'

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

/** First what went is taken out, then what came is put in. */
export type MergePass = 'remove' | 'add'

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
const batchBounds = { countMax: 20_000, bytesMax: 4 * 1024 * 1024 }
/** Datums whose outputs are read together. */
const outputsAtOnceMax = 64

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
  readonly #signal: AbortSignal | undefined

  /** `signal` ends the joining of files; `trees` and `maps` bring their own. */
  constructor(ports: {
    readonly trees: FileTrees
    readonly maps: ProllyMaps
    readonly contents: Contents
    readonly signal?: AbortSignal
  }) {
    this.#trees = ports.trees
    this.#maps = ports.maps
    this.#contents = ports.contents
    this.#signal = ports.signal
  }

  async empty(): Promise<Output> {
    return { tree: await this.#trees.emptyRoot(), contributions: await this.#maps.empty() }
  }

  /**
   * Applies changes of datum outputs. `changes` starts anew for each pass: what went is taken out
   * before what came is put in, so that a datum may take a path over from another. In the pass
   * `remove` nobody misses changes of what was not there before.
   *
   * `addedBytes` counts the full new size of each file added or changed.
   *
   * @throws {OutputClashError}
   */
  async apply(
    output: Output,
    changes: (pass: MergePass) => AsyncIterable<OutputChange>,
  ): Promise<{ readonly output: Output; readonly addedBytes: number }> {
    let merged = output
    let addedBytes = 0
    for (const pass of ['remove', 'add'] as const) {
      for await (const batch of this.#batches(changes(pass), pass)) {
        const step = await this.#applyBatch(merged, batch)
        merged = step.output
        addedBytes += step.addedBytes
      }
    }
    return { output: merged, addedBytes }
  }

  /** The same batch each time, to be applied before the next is asked for. */
  async *#batches(changes: AsyncIterable<OutputChange>, pass: MergePass): AsyncGenerator<Batch> {
    const batch = new Batch()
    for await (const { orderKey, before, after } of this.#read(changes, pass)) {
      for await (const leaf of leafChanges(this.#trees, before, after)) {
        // A file in place of an empty directory, or the reverse, goes before it comes.
        const goes = leaf.before !== undefined && leaf.before.kind !== leaf.after?.kind
        if (pass === 'remove' && goes) batch.add(leaf.path, orderKey, undefined)
        if (pass === 'add' && leaf.after !== undefined) batch.add(leaf.path, orderKey, leaf.after)
        if (!batch.isFull) continue
        yield batch
        batch.clear()
      }
    }
    if (!batch.isEmpty) yield batch
  }

  /** Those that may change something in the pass, many read at a time: each is looked at once. */
  async *#read(
    changes: AsyncIterable<OutputChange>,
    pass: MergePass,
  ): AsyncGenerator<OutputChange> {
    const nothing = (await this.#trees.emptyRoot()).root
    const changed = async function* changed(): AsyncGenerator<OutputChange> {
      for await (const change of changes) {
        const { before, after } = change
        if (before === undefined && pass === 'remove') continue
        if ((before?.root ?? nothing) !== (after?.root ?? nothing)) yield change
      }
    }
    for await (const some of inBatches(changed(), outputsAtOnceMax)) {
      const roots = some
        .flatMap(({ before, after }) => [before, after])
        .filter((root) => root !== undefined)
      const read = await this.#trees.withNodes(roots)
      const readOf = (root: DirectoryEntry | undefined): DirectoryEntry | undefined =>
        root && read.get(root.root)
      for (const { orderKey, before, after } of some) {
        yield { orderKey, before: readOf(before), after: readOf(after) }
      }
    }
  }

  async #applyBatch(
    output: Output,
    batch: Batch,
  ): Promise<{ readonly output: Output; readonly addedBytes: number }> {
    const contributions = await this.#maps.edit(output.contributions, batch.edits())
    let addedBytes = 0
    const clashes = new ClashCheck((path) => this.#at(contributions, path))
    const entryOf = (path: FilePath): Promise<TreeEntry | undefined | 'keep'> =>
      this.#entryOf(path, contributions, clashes)
    const edits = async function* edits(): AsyncGenerator<TreeEdit> {
      for (const path of batch.paths()) {
        const entry = await entryOf(path)
        if (entry === 'keep') continue
        if (entry?.kind === 'file') addedBytes += contentSizeBytes(entry.content)
        yield { path, entry }
      }
    }
    const tree = await this.#trees.edit(output.tree, edits(), { emptied: 'remove' })
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
    const signal = this.#signal
    return await contents.write(
      (async function* joined() {
        for await (const { value } of parts) {
          const entry = decodeTreeEntry(value)
          if (entry.kind !== 'file') continue
          for await (const piece of contents.read(entry.content)) {
            signal?.throwIfAborted()
            yield piece
          }
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
  readonly #edits = new GatheredEdits(batchBounds)

  get isEmpty(): boolean {
    return this.#edits.isEmpty
  }

  get isFull(): boolean {
    return this.#edits.isFull
  }

  add(path: FilePath, orderKey: Uint8Array, entry: TreeEntry | undefined): void {
    const value = entry === undefined ? undefined : encodeTreeEntry(entry)
    this.#edits.add({ key: contributionKey(path, orderKey), value })
  }

  clear(): void {
    this.#edits.clear()
  }

  edits(): Iterable<MapEdit> {
    return this.#edits.sorted()
  }

  /** In tree order, each once. */
  *paths(): Generator<FilePath> {
    let last = rootPath
    for (const { key, value } of this.#edits.sorted()) {
      const path = pathOfContribution(key)
      if (path === last) continue
      // An empty directory that another datum wrote shows again once nothing is left in it.
      if (value === undefined) yield* directoriesOf(path, last).toReversed()
      yield path
      last = path
    }
  }
}

/** Those that `path` is in and `last` is not, nor is one of them; the innermost first. */
function directoriesOf(path: FilePath, last: FilePath): readonly FilePath[] {
  const directories: FilePath[] = []
  for (let above = parentPath(path); !isWithin(last, above); above = parentPath(above)) {
    directories.push(above)
  }
  return directories
}

/**
 * Finds files that stand where the directories of other datums' paths are. Paths come in tree order:
 * each directory is looked up once, and none is remembered but those of the last path.
 */
class ClashCheck {
  readonly #at: (path: FilePath) => Promise<PathContributions>
  /** A directory that is no file's place, and so are all that it is in. */
  #lastDirectory: FilePath = rootPath

  constructor(at: (path: FilePath) => Promise<PathContributions>) {
    this.#at = at
  }

  async refuseFileAbove(path: FilePath, orderKey: Uint8Array): Promise<void> {
    for (const directory of directoriesOf(path, this.#lastDirectory)) {
      const file = (await this.#at(directory)).firstFile?.orderKey
      if (file !== undefined) throw new OutputClashError(directory, [file, orderKey])
    }
    this.#lastDirectory = parentPath(path)
  }
}
