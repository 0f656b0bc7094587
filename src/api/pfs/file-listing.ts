import type { Batched } from '../../base/batched.ts'
import type { CommitRef } from '../../base/file-refs.ts'
import { FileInfosWriter, type FileInfoFields } from '../../base/file-info-messages.ts'
import type { EncodedMessage } from '../../base/grpc-wire.ts'
import { baseName, joinPath, rootPath } from '../../base/paths.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { FileInfo, FileName } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { CommitInRequest } from './names.ts'
import { requireFits, SingleMessage } from './single-message.ts'
import { pathsBelow } from './wire-paths.ts'

/** Files of one commit, as answers name them. */
export interface FileListing {
  readonly commit: CommitRef
  readonly files: Batched<FileInfoFields>
  /** How many there are at least, and the shortest path that one may have: for `wholeListing`. */
  readonly least: () => Promise<{ readonly count: number; readonly path: string }>
}

/** A batch ends with the entry that brings it within one entry's size of 1 MiB. */
const batchBytes = 1024 * 1024 - 16 * 1024
/** No name is shorter. */
const shortestPath = joinPath(rootPath, 'a')
const hashBytes = 32

/** What is in a directory, by name. The branch is resolved once, so that the answer is of one commit. */
export async function listFiles(
  versioning: Versioning,
  file: FileName,
  signal: AbortSignal,
): Promise<FileListing> {
  const { repo, id } = await versioning.commits.inspect(file.repo, file.commit)
  const directory = { ...file, commit: id }
  const pathOf = pathsBelow(file.path)
  const files = versioning.files.list(directory, signal)
  return {
    commit: { repo, id },
    files: files.map((info) =>
      fileInfoFields(pathOf(joinPath(rootPath, baseName(info.path))), info),
    ),
    least: async () => ({
      count: await versioning.listingCounts.list(directory, signal),
      path: pathOf(shortestPath),
    }),
  }
}

/** What matches a pattern, by path; paths have a leading slash, but the root is empty. */
export async function globFiles(
  versioning: Versioning,
  { repo, commit, pattern }: CommitInRequest & { readonly pattern: string },
  signal: AbortSignal,
): Promise<FileListing> {
  const { id } = await versioning.commits.inspect(repo, commit)
  const options = { repo, commit: id, pattern }
  return {
    commit: { repo, id },
    files: versioning.files.glob(options, signal).map((info) => fileInfoFields(info.path, info)),
    least: async () => ({
      count: await versioning.listingCounts.glob(options, signal),
      path: shortestPath,
    }),
  }
}

/** pfs.FileInfos. @throws {ResourceExhaustedError} when the list is too long for one message. */
export async function wholeListing(
  { commit, files, least }: FileListing,
  advice: string,
): Promise<EncodedMessage> {
  const writer = new FileInfosWriter(commit)
  const { count, path } = await least()
  writer.add(smallestFile(path))
  requireFits(count * writer.sizeBytes, advice)
  writer.take()
  const answer = new SingleMessage(advice)
  for await (const batch of files.batches) {
    for (const file of batch) writer.add(file)
    if (writer.sizeBytes >= batchBytes) answer.add(writer.take())
  }
  answer.add(writer.take())
  return answer.pieces
}

/** An entry than which none at a path of that length is smaller in a message. */
export function smallestFile(path: string): FileInfoFields {
  return { path, fileType: FileType.FILE, sizeBytes: 0, hash: new Uint8Array(hashBytes) }
}

/** pachyderm.FileInfosBatch messages of at most 1 MiB, none of them empty. */
export async function* batchedListing({
  commit,
  files,
}: FileListing): AsyncGenerator<EncodedMessage> {
  const writer = new FileInfosWriter(commit)
  for await (const batch of files.batches) {
    for (const file of batch) {
      writer.add(file)
      if (writer.sizeBytes >= batchBytes) yield writer.take()
    }
  }
  if (writer.sizeBytes > 0) yield writer.take()
}

/** What lists say of a file: neither children nor objects. */
export function fileInfoFields(path: string, info: FileInfo): FileInfoFields {
  return { path, fileType: fileTypeOf(info), sizeBytes: info.sizeBytes, hash: info.hash }
}

export function fileTypeOf({ entry }: FileInfo): FileType {
  return entry.kind === 'file' ? FileType.FILE : FileType.DIR
}
