import { addBytes } from '../../base/byte-sums.ts'
import type { FileTrees, TreeConflict } from '../../storage/file-trees.ts'
import { entryTotals } from '../../storage/tree-entries.ts'
import { type CommitTree, treeEntry } from '../commit-records.ts'

/** Files that differ between two trees. */
export interface FileCounts {
  readonly added: number
  readonly changed: number
  readonly removed: number
}

export const noFiles: FileCounts = { added: 0, changed: 0, removed: 0 }

/** How a tree differs from the one before it. */
export interface TreeChange {
  readonly files: FileCounts
  /** The full new sizes of the files that are added or changed. */
  readonly addedBytes: number
}

/** Costs what there is of changed files and directories: those that are new or gone count with their sums. */
export async function treeChange(
  trees: FileTrees,
  before: CommitTree | undefined,
  after: CommitTree,
  signal?: AbortSignal,
): Promise<TreeChange> {
  if (before === undefined || before.fileCount === 0) {
    return { files: { ...noFiles, added: after.fileCount }, addedBytes: after.sizeBytes }
  }
  const files = { added: 0, changed: 0, removed: 0 }
  let addedBytes = 0
  const options = { lone: 'whole', signal } as const
  for await (const found of trees.diff(treeEntry(before), treeEntry(after), options)) {
    const old = found.before && entryTotals(found.before)
    const young = found.after && entryTotals(found.after)
    if (old === undefined) files.added += young?.fileCount ?? 0
    else if (young === undefined) files.removed += old.fileCount
    else files.changed += 1
    addedBytes = addBytes(addedBytes, young?.sizeBytes ?? 0)
  }
  return { files, addedBytes }
}

/**
 * Brings what theirs changed since the base into ours, or into theirs what ours changed where theirs
 * are preferred. Conflicts are told from our side either way.
 */
export async function mergeTrees(
  trees: FileTrees,
  sides: {
    readonly base: CommitTree | undefined
    readonly ours: CommitTree
    readonly theirs: CommitTree | undefined
    readonly prefer: 'ours' | 'theirs' | undefined
  },
  signal?: AbortSignal,
): Promise<{
  readonly tree: CommitTree
  readonly conflicts: readonly TreeConflict[]
  readonly conflictCount: number
}> {
  const base = sides.base === undefined ? undefined : treeEntry(sides.base)
  const ours = treeEntry(sides.ours)
  const theirs = sides.theirs === undefined ? await trees.emptyRoot() : treeEntry(sides.theirs)
  const isSwapped = sides.prefer === 'theirs'
  const [kept, brought] = isSwapped ? [theirs, ours] : [ours, theirs]
  const { root: tree, ...found } = await trees.merge(base, kept, brought, { signal })
  const { conflicts, conflictCount } = found
  return {
    tree: { root: tree.root, sizeBytes: tree.sizeBytes, fileCount: tree.fileCount },
    conflicts: isSwapped ? conflicts.map(swapped) : conflicts,
    conflictCount,
  }
}

function swapped({ path, base, ours, theirs }: TreeConflict): TreeConflict {
  return { path, base, ours: theirs, theirs: ours }
}
