import { inBatches } from '../../base/batched.ts'
import { type FilePath, joinPath, rootPath } from '../../base/paths.ts'
import { batchEditsMax } from '../prolly/edit-queue.ts'
import { type Directories, nameOfKey } from './directories.ts'
import {
  decodeTreeEntry,
  type DirectoryEntry,
  encodeTreeEntry,
  type TreeConflict,
  type TreeEntry,
} from '../tree-entries.ts'

/** Conflicts that are kept; more are only counted. */
export const conflictsKeptMax = 1000

/** Merges two trees name by name since their base; keeps ours where both changed. */
export class TreeMerger {
  readonly #directories: Directories
  readonly conflicts: TreeConflict[] = []
  conflictCount = 0

  constructor(directories: Directories) {
    this.#directories = directories
  }

  async merge(
    base: DirectoryEntry | undefined,
    ours: DirectoryEntry,
    theirs: DirectoryEntry,
    path: FilePath = rootPath,
  ): Promise<DirectoryEntry> {
    if (ours.root === theirs.root || base?.root === theirs.root) return ours
    if (base?.root === ours.root) return theirs
    const edits = this.#directories.mergeEdits({ base, ours, theirs }, async (conflict) => {
      const merged = await this.#mergeEntries({
        path: joinPath(path, nameOfKey(conflict.key)),
        base: decoded(conflict.base),
        ours: decoded(conflict.ours),
        theirs: decoded(conflict.theirs),
      })
      return merged === undefined ? undefined : encodeTreeEntry(merged)
    })
    return (await this.#directories.edit(ours, inBatches(edits, batchEditsMax))) ?? ours
  }

  async #mergeEntries(conflict: TreeConflict): Promise<TreeEntry | undefined> {
    const { path, base, ours, theirs } = conflict
    if (ours?.kind === 'directory' && theirs?.kind === 'directory') {
      return this.merge(base?.kind === 'directory' ? base : undefined, ours, theirs, path)
    }
    this.conflictCount += 1
    if (this.conflicts.length < conflictsKeptMax) this.conflicts.push(conflict)
    return ours
  }
}

function decoded(value: Uint8Array | undefined): TreeEntry | undefined {
  return value === undefined ? undefined : decodeTreeEntry(value)
}
