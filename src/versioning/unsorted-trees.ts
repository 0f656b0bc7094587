import { type FilePath, pathOfKey } from '../base/paths.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { DirectoryEntry, FileTrees, TreeEdit, TreeEntry } from '../storage/file-trees.ts'
import type { Content } from '../storage/contents.ts'
import { RunCollector } from './staging/bulk.ts'
import { fileCodec, mergeRuns, piecesCodec, type RunRecord, type RunValue } from './staging/runs.ts'

/**
 * Makes a tree of entries that come in no order, of which there may be more than memory holds: they wait
 * in the chunk store, where the caller's lease keeps them, and are put in once, by path.
 */
export class UnsortedTree {
  readonly #chunks: ChunkStore
  readonly #trees: FileTrees
  readonly #files: RunCollector<Content>
  readonly #directories: RunCollector<DirectoryEntry>

  constructor({ chunks, trees }: { readonly chunks: ChunkStore; readonly trees: FileTrees }) {
    this.#chunks = chunks
    this.#trees = trees
    this.#files = new RunCollector(chunks, fileCodec)
    this.#directories = new RunCollector(chunks, piecesCodec)
  }

  async add(path: FilePath, entry: TreeEntry): Promise<void> {
    if (entry.kind === 'file') await this.#files.add(path, entry.content, true)
    else await this.#directories.add(path, entry, true)
  }

  /** Nothing can be added after it. @throws {FileDirectoryConflictError} for what is below a file. */
  async build(): Promise<DirectoryEntry> {
    const [files, directories] = [await this.#files.end(), await this.#directories.end()]
    const content = editsOf(mergeRuns(this.#chunks, fileCodec, files), (one) => {
      return { kind: 'file', content: one }
    })
    const options = { emptied: 'keep' } as const
    const root = await this.#trees.edit(await this.#trees.emptyRoot(), content, options)
    const empty = editsOf(mergeRuns(this.#chunks, piecesCodec, directories), (one) => one)
    return await this.#trees.edit(root, empty, options)
  }
}

async function* editsOf<Value extends RunValue>(
  records: AsyncIterable<RunRecord<Value>>,
  entryOf: (value: Value) => TreeEntry,
): AsyncGenerator<TreeEdit> {
  for await (const { key, content } of records) {
    yield { path: pathOfKey(key), entry: entryOf(content) }
  }
}
