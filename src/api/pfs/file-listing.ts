import type { CommitRef } from '../../base/file-refs.ts'
import { FileInfosWriter, type FileInfoFields } from '../../base/file-info-messages.ts'
import type { EncodedMessage } from '../../base/grpc-wire.ts'
import { baseName, joinPath, rootPath } from '../../base/paths.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { FileInfo, FileName } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { CommitInRequest } from './names.ts'
import { SingleMessage } from './single-message.ts'
import { joinRequested } from './wire-paths.ts'

/** Files of one commit, as answers name them. */
export interface FileListing {
  readonly commit: CommitRef
  readonly files: AsyncIterable<FileInfoFields>
}

/** A batch ends with the entry that brings it within one entry's size of 1 MiB. */
const batchBytes = 1024 * 1024 - 16 * 1024

/** What is in a directory, by name. The branch is resolved once, so that the answer is of one commit. */
export async function listFiles(
  versioning: Versioning,
  file: FileName,
  signal: AbortSignal,
): Promise<FileListing> {
  const { repo, id } = await versioning.commits.inspect(file.repo, file.commit)
  const files = versioning.files.list({ ...file, commit: id }, signal)
  const pathOf = ({ path }: FileInfo): string =>
    joinRequested(file.path, joinPath(rootPath, baseName(path)))
  return { commit: { repo, id }, files: withPaths(files, pathOf) }
}

/** What matches a pattern, by path; paths have a leading slash, but the root is empty. */
export async function globFiles(
  versioning: Versioning,
  { repo, commit, pattern }: CommitInRequest & { readonly pattern: string },
  signal: AbortSignal,
): Promise<FileListing> {
  const { id } = await versioning.commits.inspect(repo, commit)
  const files = versioning.files.glob({ repo, commit: id, pattern }, signal)
  return { commit: { repo, id }, files: withPaths(files, ({ path }) => path) }
}

/** pfs.FileInfos. @throws {ResourceExhaustedError} when the list is too long for one message. */
export async function wholeListing(
  { commit, files }: FileListing,
  advice: string,
): Promise<EncodedMessage> {
  const answer = new SingleMessage(advice)
  const writer = new FileInfosWriter(commit)
  for await (const file of files) {
    writer.add(file)
    if (writer.sizeBytes >= batchBytes) answer.add(writer.take())
  }
  answer.add(writer.take())
  return answer.pieces
}

/** pachyderm.FileInfosBatch messages of at most 1 MiB, none of them empty. */
export async function* batchedListing({
  commit,
  files,
}: FileListing): AsyncGenerator<EncodedMessage> {
  const writer = new FileInfosWriter(commit)
  for await (const file of files) {
    writer.add(file)
    if (writer.sizeBytes >= batchBytes) yield writer.take()
  }
  if (writer.sizeBytes > 0) yield writer.take()
}

async function* withPaths(
  files: AsyncIterable<FileInfo>,
  pathOf: (info: FileInfo) => string,
): AsyncGenerator<FileInfoFields> {
  for await (const info of files) yield fileInfoFields(pathOf(info), info)
}

/** What lists say of a file: neither children nor objects. */
export function fileInfoFields(path: string, info: FileInfo): FileInfoFields {
  return { path, fileType: fileTypeOf(info), sizeBytes: info.sizeBytes, hash: info.hash }
}

export function fileTypeOf({ entry }: FileInfo): FileType {
  return entry.kind === 'file' ? FileType.FILE : FileType.DIR
}
