import type { Batched } from '../../base/batched.ts'
import type { FileDiffSides, FileInfoFields } from '../../base/file-info-messages.ts'
import type { CommitRef } from '../../base/file-refs.ts'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { DiffFileRequest, FileInfoSchema } from '../../gen/pfs_pb.ts'
import type { FileInfo, FileName } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import { fileInfoFields, fileTypeOf } from './file-listing.ts'
import { commitMessage } from './messages.ts'
import { requireFile } from './names.ts'
import { pathsBelow } from './wire-paths.ts'
import type { FilePath } from '../../base/paths.ts'

/** What differs between two paths, by path. */
export interface FileComparison {
  /** Of each side; `before` is undefined when there is nothing to compare with. */
  readonly commits: { readonly before: CommitRef | undefined; readonly after: CommitRef }
  readonly differences: Batched<FileDiffSides>
  /** How many paths differ at least. */
  readonly leastCount: () => Promise<number>
}

export async function compareFiles(
  { commits, files, listingCounts }: Versioning,
  request: Pick<DiffFileRequest, 'newFile' | 'oldFile' | 'shallow'>,
  signal: AbortSignal,
): Promise<FileComparison> {
  const newFile = requireFile(request.newFile, 'new_file')
  const newCommit = await commits.inspect(newFile.repo, newFile.commit)
  const after: FileName = { ...newFile, commit: newCommit.id }
  let before: FileName | undefined
  if (request.oldFile !== undefined) {
    const oldFile = requireFile(request.oldFile, 'old_file')
    before = { ...oldFile, commit: (await commits.inspect(oldFile.repo, oldFile.commit)).id }
  } else if (newCommit.parent !== undefined) {
    before = { ...newFile, commit: newCommit.parent }
  }
  const options = { after, before, shallow: request.shallow }
  const fieldsBefore = before && sideFields(before)
  const fieldsAfter = sideFields(after)
  return {
    commits: { before: before && commitRef(before), after: commitRef(after) },
    differences: files.diff(options, signal).map((found) => ({
      before: found.before && fieldsBefore?.(found.path, found.before),
      after: found.after && fieldsAfter(found.path, found.after),
    })),
    leastCount: () => listingCounts.diff(options, signal),
  }
}

function commitRef({ repo, commit }: FileName): CommitRef {
  return { repo, id: commit }
}

function sideFields({ path }: FileName): (relative: FilePath, info: FileInfo) => FileInfoFields {
  const pathOf = pathsBelow(path)
  return (relative, info) => fileInfoFields(pathOf(relative), info)
}

/** A file at a path below the one that was asked for, without children and objects. */
export function fileMessage(
  requested: FileName,
  relative: FilePath,
  info: FileInfo | undefined,
): MessageInitShape<typeof FileInfoSchema> | undefined {
  if (info === undefined) return undefined
  return {
    file: {
      commit: commitMessage(requested.repo, requested.commit),
      path: pathsBelow(requested.path)(relative),
    },
    fileType: fileTypeOf(info),
    sizeBytes: BigInt(info.sizeBytes),
    hash: info.hash,
  }
}
