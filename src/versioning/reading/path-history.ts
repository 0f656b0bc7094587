import { equalBytes } from '../../base/bytes.ts'
import type { FilePath } from '../../base/paths.ts'
import type { TreeEntry } from '../../storage/file-trees.ts'
import { type CommitSummary, treeEntry } from '../commit-records.ts'
import { linePages } from '../commits/listing.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'

/** A commit that changed what is at a path, compared with its parent. */
export type PathChange = { readonly commit: CommitSummary } & (
  | { readonly kind: 'added' | 'changed'; readonly after: TreeEntry }
  | { readonly kind: 'removed'; readonly after: undefined }
)

/** A commit, and what it has at the path. */
interface Version {
  readonly commit: CommitSummary
  readonly entry: TreeEntry | undefined
}

/**
 * The changes of what is at `path`, from `first` back to the root of its line: an array for each
 * stretch of at most 100 commits that has any. Costs a look-up in the tree of each commit, but of
 * those whose tree is the same as that of the commit after it; holds one stretch.
 */
export async function* pathHistory(
  ports: VersioningPorts,
  path: FilePath,
  first: Version,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly PathChange[]> {
  let newer = first
  for await (const page of linePages(ports.database, first.commit.parent)) {
    const changes: PathChange[] = []
    for (const commit of page) {
      checkCancelled(signal)
      const older = await versionOf(ports, path, commit, newer)
      changes.push(...changeBetween(ports, older.entry, newer))
      newer = older
    }
    if (changes.length > 0) yield changes
  }
  const changes = changeBetween(ports, undefined, newer)
  if (changes.length > 0) yield changes
}

async function versionOf(
  ports: VersioningPorts,
  path: FilePath,
  commit: CommitSummary,
  newer: Version,
): Promise<Version> {
  const { state } = commit
  // Only the first commit may be open.
  if (state.kind === 'open') return { commit, entry: undefined }
  const other = newer.commit.state
  const isSame = other.kind === 'finished' && other.tree.root === state.tree.root
  const entry = isSame ? newer.entry : await ports.trees.get(treeEntry(state.tree), path)
  return { commit, entry }
}

/** What the commit of `newer` did to the path, where `before` was: one change or none. */
function changeBetween(
  { trees }: VersioningPorts,
  before: TreeEntry | undefined,
  { commit, entry: after }: Version,
): readonly PathChange[] {
  if (after === undefined) {
    return before === undefined ? [] : [{ kind: 'removed', commit, after }]
  }
  if (before === undefined) return [{ kind: 'added', commit, after }]
  const isSame =
    before.kind === after.kind && equalBytes(trees.entryHash(before), trees.entryHash(after))
  return isSame ? [] : [{ kind: 'changed', commit, after }]
}
