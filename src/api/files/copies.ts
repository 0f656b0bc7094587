import { InvalidArgumentError } from '../../base/errors.ts'
import type { Files } from '../../gen/pachyderm_pb.ts'
import type { Copied, CopyMode } from '../../versioning/copies.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireFile } from '../pfs/names.ts'

/** CopyFile and MoveFile. */
export function copyHandlers({ copies }: Versioning): ServiceHandlers<typeof Files> {
  return {
    async copyFile({ source, destination, overwrite, append }, { signal }) {
      const from = requireFile(source, 'source')
      const to = requireFile(destination, 'destination')
      return counts(await copies.copy(from, to, { mode: modeOf(overwrite, append), signal }))
    },

    async moveFile({ source, destination, overwrite }, { signal }) {
      const from = requireFile(source, 'source')
      const to = requireFile(destination, 'destination')
      return counts(await copies.move(from, to, { overwrite, signal }))
    },
  }
}

/** @throws {InvalidArgumentError} for both. */
export function modeOf(overwrite: boolean, append: boolean): CopyMode {
  if (overwrite && append) {
    throw new InvalidArgumentError('overwrite and append cannot both be asked for')
  }
  if (overwrite) return 'overwrite'
  return append ? 'append' : 'refuse'
}

function counts({ fileCount, sizeBytes }: Copied): { files: bigint; bytes: bigint } {
  return { files: BigInt(fileCount), bytes: BigInt(sizeBytes) }
}
