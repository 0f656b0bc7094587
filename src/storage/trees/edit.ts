import { Batched, inBatches } from '../../base/batched.ts'
import { utf8 } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import { type FilePath, joinPath, pathKey, rootPath } from '../../base/paths.ts'
import { batchEditsMax, EditQueue } from '../prolly/edit-queue.ts'
import type { DirectoryEntry, TreeEdit, TreeEntry } from '../tree-entries.ts'
import { FileDirectoryConflictError } from '../tree-errors.ts'
import { type Directories, emptyDirectory, type EntryEdit, entryEdit } from './directories.ts'

export interface TreeEditOptions {
  /** What becomes of a directory whose last entry is removed; the root always stays. */
  readonly emptied: 'keep' | 'remove'
}

interface QueuedEdit extends TreeEdit {
  readonly key: Uint8Array
}

interface NameEdit extends EntryEdit {
  readonly path: FilePath
  /** True when a file may take the place of a directory: an edit has removed it. */
  readonly replaces: boolean
}

/**
 * Applies one sorted stream of edits to a tree. Each directory's edits come from a generator that
 * reads on in the stream, and edits the directories below on the way: one pass, and memory for one
 * path of directories.
 */
export class TreeEditor implements AsyncDisposable {
  readonly #directories: Directories
  readonly #edits: EditQueue<QueuedEdit>
  readonly #options: TreeEditOptions

  constructor(
    directories: Directories,
    edits: Iterable<TreeEdit> | AsyncIterable<TreeEdit>,
    options: TreeEditOptions,
  ) {
    this.#directories = directories
    this.#edits = new EditQueue(withKeys(edits), 'keys-may-repeat')
    this.#options = options
  }

  async editRoot(root: DirectoryEntry): Promise<DirectoryEntry> {
    const replaced = await this.#editsAt(rootPath, { isKnown: true, entry: root, replaces: false })
    const start = replaced.entry ?? emptyDirectory
    if (start.kind === 'file') throw new FileDirectoryConflictError(rootPath, rootPath)
    const edited = await this.#editBelow(rootPath, start)
    assert((await this.#edits.peek()) === undefined, 'every path is below the root')
    return edited ?? emptyDirectory
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#edits[Symbol.asyncDispose]()
  }

  /** Applies the edits below `path`. Undefined when no directory is there afterwards. */
  async #editBelow(
    path: FilePath,
    before: DirectoryEntry | undefined,
  ): Promise<DirectoryEntry | undefined> {
    const next = await this.#edits.peek()
    if (next === undefined || !isBelow(next.path, path)) return before
    const edits = this.#nameEdits(path, before)
    const after = await this.#directories.edit(before, edits, (edit, replaced) => {
      const isFile = edit.totals !== undefined && !edit.totals.isDirectory
      if (isFile && replaced?.isDirectory === true && !edit.replaces) {
        throw new FileDirectoryConflictError(edit.path, edit.path)
      }
    })
    const isEmptied = after?.root === emptyDirectory.root && before?.root !== emptyDirectory.root
    return isEmptied && this.#options.emptied === 'remove' ? undefined : after
  }

  /** The edits of one directory's names, in batches. */
  async *#nameEdits(
    directoryPath: FilePath,
    directory: DirectoryEntry | undefined,
  ): AsyncGenerator<readonly NameEdit[]> {
    let batch: NameEdit[] = []
    for (;;) {
      const next = this.#edits.head ?? (await this.#edits.peek())
      if (next === undefined || !isBelow(next.path, directoryPath)) break
      const nameStart = directoryPath.length + 1
      const nameEnd = next.path.indexOf('/', nameStart)
      batch.push(
        (nameEnd < 0 ? this.#loneEdit(next) : undefined) ??
          (await this.#nameEdit(
            directoryPath,
            next.path.slice(nameStart, nameEnd < 0 ? undefined : nameEnd),
            directory,
          )),
      )
      if (batch.length < batchEditsMax) continue
      yield batch
      batch = []
    }
    if (batch.length > 0) yield batch
  }

  /** The usual case without a wait: `next`, the head, is a file or a removal, and alone at its path. */
  #loneEdit(next: QueuedEdit): NameEdit | undefined {
    const { path, entry } = next
    const following = this.#edits.second
    if (entry?.kind === 'directory' || following === undefined) return undefined
    if (following.path === path || isBelow(following.path, path)) return undefined
    this.#edits.advance()
    const name = next.key.subarray(next.key.lastIndexOf(0) + 1)
    return { ...entryEdit(name, entry), path, replaces: entry === undefined }
  }

  /** Folds all edits at and below one name into one. */
  async #nameEdit(
    directoryPath: FilePath,
    name: string,
    directory: DirectoryEntry | undefined,
  ): Promise<NameEdit> {
    const path = joinPath(directoryPath, name)
    const at = await this.#editsAt(path, { isKnown: false, entry: undefined, replaces: false })
    let { entry } = at
    const next = this.#edits.head ?? (await this.#edits.peek())
    if (next !== undefined && isBelow(next.path, path)) {
      if (!at.isKnown && directory !== undefined) {
        entry = await this.#directories.entry(directory, name)
      }
      if (entry?.kind === 'file') await this.#refusePutsBelow(path)
      else entry = await this.#editBelow(path, entry)
    }
    return { ...entryEdit(utf8(name), entry), path, replaces: at.replaces }
  }

  /** The edits at exactly `path`, one on top of the other. */
  async #editsAt(path: FilePath, start: EntryState): Promise<EntryState> {
    let state = start
    for (;;) {
      const next = this.#edits.head ?? (await this.#edits.peek())
      if (next?.path !== path) return state
      const { entry } = next
      if (entry?.kind === 'file' && state.entry?.kind === 'directory') {
        throw new FileDirectoryConflictError(path, path)
      }
      state = {
        isKnown: true,
        entry: entry === undefined ? undefined : await this.#directories.inlined(entry),
        replaces: state.replaces || entry?.kind !== 'file',
      }
      this.#edits.advance()
    }
  }

  /** Nothing is below a file: removals there do nothing, and puts fail. */
  async #refusePutsBelow(path: FilePath): Promise<void> {
    for (;;) {
      const next = await this.#edits.peek()
      if (next === undefined || !isBelow(next.path, path)) return
      if (next.entry !== undefined) throw new FileDirectoryConflictError(next.path, path)
      this.#edits.advance()
    }
  }
}

/** What is at a path as far as the edits tell. */
interface EntryState {
  readonly isKnown: boolean
  readonly entry: TreeEntry | undefined
  readonly replaces: boolean
}

function isBelow(path: FilePath, directory: FilePath): boolean {
  return (
    path.length > directory.length &&
    path.charCodeAt(directory.length) === slashCode &&
    path.startsWith(directory)
  )
}

const slashCode = 0x2f

async function* withKeys(
  edits: Iterable<TreeEdit> | AsyncIterable<TreeEdit>,
): AsyncGenerator<readonly QueuedEdit[]> {
  for await (const batch of edits instanceof Batched
    ? edits.batches
    : inBatches(edits, batchEditsMax)) {
    yield batch.map(({ path, entry, key = pathKey(path) }) => ({ path, entry, key }))
  }
}
