import { equalBytes } from '../../base/bytes.ts'
import type { DirectoryEntry, FileTrees, TreeEntry } from '../../storage/file-trees.ts'
import type { DatumMember } from '../datums.ts'
import { groupOf } from '../discovery/group-members.ts'
import { atomsOf, type Input } from '../inputs.ts'

/** The trees that a job reads, by repo. */
export type InputTreesOfJob = ReadonlyMap<string, DirectoryEntry>

/**
 * What a member is. Of a group, its directory, of which the size is not known here. Branches of a
 * union may share a name and read different repos: the hash tells them apart.
 */
export async function memberEntry(
  trees: Pick<FileTrees, 'get' | 'entryHash'>,
  input: Input,
  inputTrees: InputTreesOfJob,
  member: DatumMember,
): Promise<TreeEntry> {
  for (const atom of atomsOf(input)) {
    const tree = atom.name === member.input ? inputTrees.get(atom.repo) : undefined
    const entry = tree === undefined ? undefined : await trees.get(tree, member.path)
    if (entry !== undefined && equalBytes(trees.entryHash(entry), member.hash)) return entry
  }
  const group = groupOf(input, member)
  if (group !== undefined) return group
  throw new Error(`invariant broken: no input has ${member.input}:${member.path}`)
}
