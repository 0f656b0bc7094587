import type { ByteStream } from '../../base/bytes.ts'
import {
  FileChunksWriter,
  type GetFilesPartFields,
  GetFilesWriter,
} from '../../base/download-messages.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { EncodedMessage } from '../../base/grpc-wire.ts'
import type { Files, GetFilesRequest } from '../../gen/pachyderm_pb.ts'
import type { DownloadedEntry, FileInfo, Selection } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { fileTypeOf } from '../pfs/file-listing.ts'
import { requireCommit, requireFile } from '../pfs/names.ts'

/** Each part of a large file, so that a message with it stays within 1 MiB. */
const pieceBytesMax = 1024 * 1024 - 16 * 1024
/** A message ends with the part that brings it to this, or before one that would make it too long. */
const messageBytes = 1024 * 1024 - 16 * 1024
/** A path, a hash and some numbers are shorter. */
const partHeadBytesMax = 5000

/** GetFiles and ListChunks. */
export function getFilesHandlers(versioning: Versioning): ServiceHandlers<typeof Files> {
  const { commits, files } = versioning
  return {
    getFiles: {
      async *encoded(request, { signal }) {
        const wanted = requireCommit(request.commit)
        const selection = selectionOf(request)
        // The branch is resolved once, so that the answer is of one commit.
        const { repo, id } = await commits.inspect(wanted.repo, wanted.commit)
        const contents = !request.withoutContent
        const entries = files.download({ repo, commit: id, selection, contents }, signal)
        yield* messagesOf(new GetFilesWriter({ repo, id }), entries)
      },
    },

    listChunks: {
      async *encoded({ file }, { signal }) {
        const writer = new FileChunksWriter()
        for await (const chunk of files.chunks(requireFile(file), signal)) {
          writer.add(chunk)
          if (writer.sizeBytes >= messageBytes) yield writer.take()
        }
        if (writer.sizeBytes > 0) yield writer.take()
      },
    },
  }
}

/** @throws {InvalidArgumentError} unless it says which files, in one of the ways. */
function selectionOf({ paths, pattern, recursive }: GetFilesRequest): Selection {
  if (pattern !== '' && paths.length > 0) {
    throw new InvalidArgumentError('paths and pattern cannot both be given: make two calls')
  }
  if (pattern !== '') return { kind: 'glob', pattern, recursive }
  if (paths.length === 0) {
    throw new InvalidArgumentError(
      'the request has neither paths nor pattern: to get a whole commit, give the path "/" and recursive',
    )
  }
  return { kind: 'paths', paths, recursive }
}

async function* messagesOf(
  writer: GetFilesWriter,
  entries: AsyncIterable<DownloadedEntry>,
): AsyncGenerator<EncodedMessage> {
  for await (const { info, content } of entries) {
    if (content !== undefined && !(content instanceof Uint8Array)) {
      yield* streamedFile(writer, info, content)
      continue
    }
    if (content !== undefined && content.length > pieceBytesMax) {
      yield* streamedFile(writer, info, pieces(content))
      continue
    }
    const sizeBytes = content?.length ?? 0
    if (writer.sizeBytes > 0 && writer.sizeBytes + sizeBytes + partHeadBytesMax > messageBytes) {
      yield writer.take()
    }
    writer.add({ ...headOf(info), value: content === undefined ? [] : [content], more: false })
  }
  if (writer.sizeBytes > 0) yield writer.take()
}

/** A file that does not fit in one message: each piece in one of its own. */
async function* streamedFile(
  writer: GetFilesWriter,
  info: FileInfo,
  bytes: ByteStream,
): AsyncGenerator<EncodedMessage> {
  if (writer.sizeBytes > 0) yield writer.take()
  let head = headOf(info)
  let left = info.sizeBytes
  for await (const long of bytes) {
    for await (const piece of pieces(long)) {
      left -= piece.length
      writer.add({ ...head, value: [piece], more: left > 0 })
      yield writer.take()
      head = { ...noFacts, path: info.path }
    }
  }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytesMax) {
    yield bytes.subarray(at, at + pieceBytesMax)
  }
}

type Head = Omit<GetFilesPartFields, 'value' | 'more'>

const noFacts = { fileType: 0, sizeBytes: 0, hash: new Uint8Array(0), fileCount: 0 } as const

function headOf(info: FileInfo): Head {
  const { path, sizeBytes, hash, entry } = info
  const fileCount = entry.kind === 'directory' ? entry.fileCount : 0
  return { path, fileType: fileTypeOf(info), sizeBytes, hash, fileCount }
}
