import { FileDiffsWriter, FileInfosWriter } from '../../base/file-info-messages.ts'
import type { EncodedMessage } from '../../base/grpc-wire.ts'
import type { API } from '../../gen/pfs_pb.ts'
import type { FileName } from '../../versioning/files.ts'
import { objectName } from '../../versioning/object-names.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { bytePieces } from './byte-pieces.ts'
import { compareFiles, type FileComparison } from './file-diff.ts'
import { fileInfoFields, globFiles, listFiles, smallestFile, wholeListing } from './file-listing.ts'
import { requireCommit, requireCount, requireFile } from './names.ts'
import { requireFits, SingleMessage, streamedBy } from './single-message.ts'

/** A name of one character in a list of children: its tag, its size and itself. */
const childBytesMin = 3

export function fileHandlers(versioning: Versioning): ServiceHandlers<typeof API> {
  const { commits, files, writes } = versioning
  return {
    getFile: {
      async *encoded(request, { signal }) {
        const { bytes } = await files.read(requireFile(request.file), {
          offset: requireCount(request.offsetBytes, 'offset_bytes'),
          length: requireCount(request.sizeBytes, 'size_bytes'),
          // Who asks for ranges often gives up in the midst of one, and such memory is lost.
          lent: request.offsetBytes === 0n && request.sizeBytes === 0n,
          signal,
        })
        yield* bytePieces(bytes)
      },
    },

    inspectFile: {
      async encoded(request, { signal }) {
        const requested = requireFile(request.file)
        const { repo, id } = await commits.inspect(requested.repo, requested.commit)
        const file = { ...requested, commit: id }
        const info = await files.inspect(file, signal)
        return new FileInfosWriter({ repo, id }).encodeOne({
          ...fileInfoFields(file.path, info),
          ...(info.entry.kind === 'file'
            ? { objects: [objectName(info.entry.content)] }
            : { children: await childNames(versioning, file, signal) }),
        })
      },
    },

    listFile: {
      encoded: async (request, { signal }) =>
        wholeListing(
          await listFiles(versioning, requireFile(request.file), signal),
          `${streamedBy('list-file', 'Files/ListFiles')}; or list a directory below`,
        ),
    },

    globFile: {
      async encoded({ commit, pattern }, { signal }) {
        const options = { ...requireCommit(commit), pattern }
        return wholeListing(
          await globFiles(versioning, options, signal),
          `${streamedBy('glob-file', 'Files/GlobFiles')}; or use a narrower pattern`,
        )
      },
    },

    diffFile: {
      async encoded(request, { signal }) {
        return wholeComparison(
          await compareFiles(versioning, request, signal),
          `${streamedBy('diff-file', 'Files/DiffFiles')}; or compare paths below`,
        )
      },
    },

    async deleteFile(request, { signal }) {
      await writes.delete(requireFile(request.file), signal)
      return {}
    },
  }
}

async function childNames(
  { files, listingCounts }: Versioning,
  directory: FileName,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const advice = `of the names in the directory, ${streamedBy('list-file', 'Files/ListFiles')}`
  requireFits((await listingCounts.list(directory, signal)) * childBytesMin, advice)
  const names: string[] = []
  let sizeBytesMin = 0
  for await (const batch of files.names(directory, signal).batches) {
    for (const name of batch) {
      names.push(name)
      sizeBytesMin += childBytesMin - 1 + name.length
    }
    requireFits(sizeBytesMin, advice)
  }
  return names
}

/** pfs.DiffFileResponse. @throws {ResourceExhaustedError} when it is too long for one message. */
async function wholeComparison(
  { commits, differences, leastCount }: FileComparison,
  advice: string,
): Promise<EncodedMessage> {
  const writer = new FileDiffsWriter(commits)
  writer.addSides({ before: undefined, after: smallestFile('') })
  requireFits((await leastCount()) * writer.sizeBytes, advice)
  writer.take()
  const answer = new SingleMessage(advice)
  for await (const batch of differences.batches) {
    for (const sides of batch) writer.addSides(sides)
    answer.add(writer.take())
  }
  return answer.pieces
}
