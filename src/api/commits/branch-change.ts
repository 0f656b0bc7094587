import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  BranchOutcome,
  type BranchChangeSchema,
  type ConflictSideSchema,
  DiffKind,
  type PathConflictSchema,
  Preference,
} from '../../gen/pachyderm_pb.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import { contentSizeBytes } from '../../storage/contents.ts'
import type { TreeConflict, TreeEntry } from '../../storage/file-trees.ts'
import type { BranchChange, Preference as Side } from '../../versioning/branch-changes.ts'
import { commitMessage } from '../pfs/messages.ts'
import { requireText } from '../pfs/names.ts'

/** The paths of all conflicts in one answer, as characters; more conflicts are only counted. */
const conflictPathsLengthMax = 1024 * 1024

const outcomes = {
  committed: BranchOutcome.COMMITTED,
  'fast-forwarded': BranchOutcome.FAST_FORWARDED,
  unchanged: BranchOutcome.UNCHANGED,
  conflicted: BranchOutcome.CONFLICTED,
} as const satisfies Record<BranchChange['outcome'], BranchOutcome>

const sides: ReadonlyMap<Preference, Side> = new Map([
  [Preference.OURS, 'ours'],
  [Preference.THEIRS, 'theirs'],
])

/** Undefined for none, and for what this release does not know. */
export function preferenceOf(prefer: Preference): Side {
  return sides.get(prefer)
}

/** The inverse of `preferenceOf`. */
export function preferenceMessage(prefer: Side): Preference {
  for (const [message, other] of sides) if (other === prefer) return message
  return Preference.UNSPECIFIED
}

export function requireInto(into: string): string {
  return requireText(into, 'into', 'a branch is needed')
}

export function branchChangeMessage(
  change: BranchChange,
): MessageInitShape<typeof BranchChangeSchema> {
  const { repo, head, base, files } = change
  return {
    outcome: outcomes[change.outcome],
    ...(head !== undefined && { head: commitMessage(repo, head) }),
    ...(base !== undefined && { base: commitMessage(repo, base) }),
    addedFiles: BigInt(files.added),
    changedFiles: BigInt(files.changed),
    removedFiles: BigInt(files.removed),
    conflicts: conflictMessages(change.conflicts),
    conflictCount: BigInt(change.conflictCount),
    branch: change.branch,
  }
}

function conflictMessages(
  conflicts: readonly TreeConflict[],
): MessageInitShape<typeof PathConflictSchema>[] {
  const messages: MessageInitShape<typeof PathConflictSchema>[] = []
  let length = 0
  for (const { path, base, ours, theirs } of conflicts) {
    length += path.length
    if (length > conflictPathsLengthMax) break
    messages.push({ path, ours: side(base, ours), theirs: side(base, theirs) })
  }
  return messages
}

function side(
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
): MessageInitShape<typeof ConflictSideSchema> {
  if (after === undefined) return { kind: DiffKind.REMOVED }
  const isFile = after.kind === 'file'
  return {
    kind: before === undefined ? DiffKind.ADDED : DiffKind.CHANGED,
    fileType: isFile ? FileType.FILE : FileType.DIR,
    sizeBytes: BigInt(isFile ? contentSizeBytes(after.content) : after.sizeBytes),
  }
}
