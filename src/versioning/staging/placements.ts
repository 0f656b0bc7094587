import { compareBytes } from '../../base/bytes.ts'
import { type FilePath, isWithin, parentPath, pathKey, rootPath } from '../../base/paths.ts'
import type { DirectoryEntry, FileTrees, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import type { Conflicts, StagedConflict } from './conflicts.ts'
import type { Placement } from './staged-rows.ts'

/** Where a copy or a move would go. */
type Place = Pick<Placement, 'path' | 'overwrite'>

/**
 * The edits that a copy or a move makes to the tree at `root`, in tree order. What keeps it from
 * its place goes to `conflicts`; a move of what is no longer there does nothing.
 */
export async function placementEdits(
  trees: FileTrees,
  root: DirectoryEntry,
  write: Placement,
  conflicts: Conflicts,
): Promise<readonly TreeEdit[]> {
  const { path } = write
  const entry = write.kind === 'graft' ? write.entry : await trees.get(root, write.from)
  if (entry === undefined) return []
  const conflict = await placementConflict(trees, root, write)
  if (conflict !== undefined) {
    conflicts.add(conflict)
    return []
  }
  if (write.overwrite) conflicts.repair(path)
  const edits: TreeEdit[] = []
  // The root takes a directory as it is; anything else makes way first.
  if (path !== rootPath && (await trees.get(root, path)) !== undefined) {
    edits.push({ path, entry: undefined })
  }
  edits.push({ path, entry })
  if (write.kind === 'graft') return edits
  conflicts.repair(write.from)
  // What is replaced takes along what is below it.
  if (isWithin(write.from, path)) return edits
  const removal = { path: write.from, entry: undefined }
  const isFirst = compareBytes(pathKey(write.from), pathKey(path)) < 0
  return isFirst ? [removal, ...edits] : [...edits, removal]
}

/** What keeps a copy or a move from its place: something there, or a file above. */
export async function placementConflict(
  trees: FileTrees,
  root: DirectoryEntry,
  { path, overwrite }: Place,
): Promise<StagedConflict | undefined> {
  const obstacle = await fileAbove(trees, root, path)
  if (obstacle !== undefined) return { path, obstacle }
  if (overwrite) return undefined
  const there = await trees.get(root, path)
  if (there === undefined || (await isEmpty(trees, there))) return undefined
  return { path, obstacle: path, taken: there.kind }
}

/** What keeps a put from its place: a directory there, or a file above. */
export async function putConflict(
  trees: FileTrees,
  root: DirectoryEntry,
  path: FilePath,
): Promise<StagedConflict | undefined> {
  const there = await trees.get(root, path)
  if (there?.kind === 'file') return undefined
  if (there !== undefined) {
    return (await isEmpty(trees, there)) ? undefined : { path, obstacle: path }
  }
  const obstacle = await fileAbove(trees, root, path)
  return obstacle && { path, obstacle }
}

async function fileAbove(
  trees: FileTrees,
  root: DirectoryEntry,
  path: FilePath,
): Promise<FilePath | undefined> {
  for (let above = path; above !== rootPath;) {
    above = parentPath(above)
    const entry = await trees.get(root, above)
    if (entry?.kind === 'file') return above
    if (entry !== undefined) return undefined
  }
  return undefined
}

async function isEmpty(trees: FileTrees, entry: TreeEntry): Promise<boolean> {
  return entry.kind === 'directory' && entry.root === (await trees.emptyRoot()).root
}
