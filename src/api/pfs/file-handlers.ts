import { concatBytes } from '../../base/bytes.ts'
import { create, toBinary } from '@bufbuild/protobuf'
import { FileInfosWriter } from '../../base/file-info-messages.ts'
import { baseName } from '../../base/paths.ts'
import { type API, DiffFileResponseSchema } from '../../gen/pfs_pb.ts'
import type { FileInfo } from '../../versioning/files.ts'
import { objectName } from '../../versioning/object-names.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { bytePieces } from './byte-pieces.ts'
import { diffFiles, type FileDiffSides } from './file-diff.ts'
import { fileInfoFields, globFiles, listFiles, wholeListing } from './file-listing.ts'
import { requireCommit, requireCount, requireFile } from './names.ts'
import { requireFits, SingleMessage } from './single-message.ts'

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
            : { children: await childNames(files.list(file, signal)) }),
        })
      },
    },

    listFile: {
      encoded: async (request, { signal }) =>
        wholeListing(
          await listFiles(versioning, requireFile(request.file), signal),
          'list with pachyderm.Files/ListFiles, which streams, or list a directory below',
        ),
    },

    globFile: {
      async encoded({ commit, pattern }, { signal }) {
        const options = { ...requireCommit(commit), pattern }
        return wholeListing(
          await globFiles(versioning, options, signal),
          'glob with pachyderm.Files/GlobFiles, which streams, or with a narrower pattern',
        )
      },
    },

    diffFile: {
      async encoded(request, { signal }) {
        const answer = new SingleMessage(
          'compare with pachyderm.Files/DiffFiles, which streams, or compare paths below',
        )
        for await (const sides of diffFiles(versioning, request, signal)) {
          answer.add([encodeDiff(sides)])
        }
        // Not one write for each.
        return concatBytes(answer.pieces)
      },
    },

    async deleteFile(request, { signal }) {
      await writes.delete(requireFile(request.file), signal)
      return {}
    },
  }
}

async function childNames(children: AsyncIterable<FileInfo>): Promise<readonly string[]> {
  const names: string[] = []
  let sizeBytesMin = 0
  for await (const { path } of children) {
    const name = baseName(path)
    names.push(name)
    sizeBytesMin += name.length
    requireFits(sizeBytesMin, 'list the directory with pachyderm.Files/ListFiles, which streams')
  }
  return names
}

function encodeDiff({ before, after }: FileDiffSides): Uint8Array {
  const newFiles = after === undefined ? [] : [after]
  const oldFiles = before === undefined ? [] : [before]
  return toBinary(DiffFileResponseSchema, create(DiffFileResponseSchema, { newFiles, oldFiles }))
}
