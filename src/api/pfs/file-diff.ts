import type { MessageInitShape } from '@bufbuild/protobuf'
import type { DiffFileRequest, FileInfoSchema } from '../../gen/pfs_pb.ts'
import type { FileInfo, FileName } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import { fileTypeOf } from './file-listing.ts'
import { commitMessage } from './messages.ts'
import { requireFile } from './names.ts'
import { joinRequested } from './wire-paths.ts'
import type { FilePath } from '../../base/paths.ts'

/** One path that differs, as answers say it: at least one side is there. */
export interface FileDiffSides {
  readonly before: MessageInitShape<typeof FileInfoSchema> | undefined
  readonly after: MessageInitShape<typeof FileInfoSchema> | undefined
}

/** What differs between two paths, by path. */
export async function* diffFiles(
  { commits, files }: Versioning,
  request: Pick<DiffFileRequest, 'newFile' | 'oldFile' | 'shallow'>,
  signal: AbortSignal,
): AsyncGenerator<FileDiffSides> {
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
  for await (const difference of files.diff({ after, before, shallow: request.shallow }, signal)) {
    yield {
      before: before && fileMessage(before, difference.path, difference.before),
      after: fileMessage(after, difference.path, difference.after),
    }
  }
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
      path: joinRequested(requested.path, relative),
    },
    fileType: fileTypeOf(info),
    sizeBytes: BigInt(info.sizeBytes),
    hash: info.hash,
  }
}
