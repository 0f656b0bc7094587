import { hexText } from '../base/bytes.ts'
import { rootPath } from '../base/paths.ts'
import type { Database } from '../database/database.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import type { ChunkId, ChunkStore } from '../storage/chunks.ts'
import type {
  CollectionRoot,
  CollectionRun,
  CollectionSource,
} from '../storage/collection-roots.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import { decodeTreeEntry, type TreeEntry } from '../storage/tree-entries.ts'

/** Asks for roots and changes nothing. */
const rehearsal: CollectionRun = {
  isRehearsal: true,
  isIncremental: false,
  isStrict: false,
  inline: { wantedInline: new Set(), seenInline: new Set() },
  isMarked: async () => false,
  removed: () => undefined,
}

/** Passes reads on, and notes which chunks were read. */
class NotingChunks implements ChunkStore {
  readonly #chunks: ChunkStore
  readonly read = new Set<ChunkId>()

  constructor(chunks: ChunkStore) {
    this.#chunks = chunks
  }

  async get(id: ChunkId): Promise<Uint8Array> {
    this.read.add(id)
    return await this.#chunks.get(id)
  }

  put(): Promise<ChunkId> {
    throw new Error('a walk puts nothing')
  }

  async flush(): Promise<void> {
    throw new Error('a walk puts nothing')
  }
}

/**
 * Walks from every root to the last byte, as readers do, and returns each chunk on the way. Knows
 * nothing of how a collection marks. @throws {DataLossError} when something is missing.
 */
export async function walkRoots(
  chunks: ChunkStore,
  sources: readonly CollectionSource[],
): Promise<ReadonlySet<ChunkId>> {
  const walk = new ChunkWalk(chunks)
  for (const source of sources) {
    for await (const root of source.collectionRoots(rehearsal)) await walk.root(root)
  }
  return walk.seen
}

/** Walks from roots to the last byte, each thing once. */
export class ChunkWalk {
  readonly #chunks: NotingChunks
  readonly #contents: ChunkedContents
  readonly #trees: FileTrees
  readonly #maps: ProllyMaps
  readonly #walked = new Set<string>()
  readonly #walkedRoots = new Set<string>()

  constructor(chunks: ChunkStore) {
    const noting = new NotingChunks(chunks)
    this.#chunks = noting
    this.#contents = new ChunkedContents(noting)
    this.#trees = new FileTrees(noting)
    this.#maps = new ProllyMaps(noting)
  }

  /** The chunks on the way. */
  get seen(): ReadonlySet<ChunkId> {
    return this.#chunks.read
  }

  async root(root: CollectionRoot): Promise<void> {
    if (root.kind === 'chunk') await this.#chunks.get(root.chunk)
    else if (root.kind === 'content') await this.#entry({ kind: 'file', content: root.content })
    else if (!this.#walkedRoots.has(root.root)) {
      this.#walkedRoots.add(root.root)
      // A directory is a map from names to entries, and contributions are one from paths.
      for await (const { value } of this.#maps.scan(root.root)) {
        if (root.kind === 'tree') await this.#entry(decodeTreeEntry(value))
      }
    }
  }

  async #entry(entry: TreeEntry): Promise<void> {
    // What is the same may be inlined here, and have chunks of its own there.
    const form = entry.kind === 'file' ? entry.content.kind : entry.inlineNode !== undefined
    const name = `${hexText(this.#trees.entryHash(entry))} ${form}`
    if (this.#walked.has(name)) return
    this.#walked.add(name)
    if (entry.kind === 'file') {
      for await (const _ of this.#contents.read(entry.content)) continue
      return
    }
    for await (const below of this.#trees.list(entry, rootPath)) await this.#entry(below.entry)
  }
}

export async function countRows(database: Database, table: string): Promise<number> {
  const row = await database.read((tx) =>
    tx.get<{ readonly count: number }>(`SELECT COUNT(*) AS count FROM ${table}`),
  )
  return row?.count ?? 0
}
