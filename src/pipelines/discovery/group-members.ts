import { hexText } from '../../base/bytes.ts'
import { rootPath } from '../../base/paths.ts'
import type { DirectoryEntry, FileTrees } from '../../storage/file-trees.ts'
import type { TreeRoot } from '../../storage/tree-entries.ts'
import type { DatumMember } from '../datums.ts'
import { atomsOf, type Input } from '../inputs.ts'
import { matchingInputs } from './match-index.ts'

/** The most files of a group that are shown one by one. */
const fileCountMax = 1000

/**
 * The directory that a datum's member is, when it is a group's: all matches that one input has for a
 * match key. Undefined for a member of another kind of input.
 *
 * The tree is kept by the index of the job's matches. What it adds up to is not known here.
 */
export function groupOf(input: Input, member: DatumMember): DirectoryEntry | undefined {
  const isGroups = matchingInputs(input).some(
    (matching) =>
      matching.kind === 'group' && atomsOf(matching).some(({ name }) => name === member.input),
  )
  if (!isGroups || member.path !== rootPath) return undefined
  // A group's tree stands on its own, and the hash of such a one names its root.
  const root = hexText(member.hash) as TreeRoot
  return { kind: 'directory', root, sizeBytes: 0, fileCount: 0 }
}

/**
 * The members of a datum as people know them: a group's directory as the files in it, unless they
 * are more than `fileCountMax`.
 */
export async function shownMembers(
  trees: Pick<FileTrees, 'walk' | 'entryHash'>,
  input: Input,
  members: readonly DatumMember[],
): Promise<readonly DatumMember[]> {
  const shown: DatumMember[] = []
  for (const member of members) {
    const group = groupOf(input, member)
    const files = group === undefined ? undefined : await filesIn(trees, group, member)
    if (files === undefined) shown.push(member)
    else shown.push(...files)
  }
  return shown
}

async function filesIn(
  trees: Pick<FileTrees, 'walk' | 'entryHash'>,
  group: DirectoryEntry,
  { input }: DatumMember,
): Promise<readonly DatumMember[] | undefined> {
  const files: DatumMember[] = []
  for await (const { path, entry } of trees.walk(group)) {
    if (files.length === fileCountMax) return undefined
    files.push({ input, path, hash: trees.entryHash(entry) })
  }
  return files
}
