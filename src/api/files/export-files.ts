import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Clock } from '../../base/clock.ts'
import type {
  ExportFilesRequest,
  ExportFilesResponseSchema,
  Files,
} from '../../gen/pachyderm_pb.ts'
import type { ExportCounts } from '../../targets/export-run.ts'
import type { ExportRequest, Exports } from '../../targets/exports.ts'
import type { SecretTexts } from './secret-texts.ts'
import { latestOf } from '../grpc/latest.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireFile } from '../pfs/names.ts'

type Response = MessageInitShape<typeof ExportFilesResponseSchema>

/** ExportFiles: how far it is, as often as the caller takes it; last of all, that it is done. */
export function exportFilesHandlers(
  exports: Exports,
  { clock, secrets }: { readonly clock: Clock; readonly secrets: SecretTexts },
): ServiceHandlers<typeof Files> {
  return {
    async *exportFiles(request, { signal }) {
      const asked = { ...requestOf(request), credentials: await secrets.given(request.secret) }
      const work = (tell: (counts: ExportCounts) => void, stop: AbortSignal) =>
        exports.run(asked, { signal: stop, onProgress: tell })
      for await (const { value, isLast } of latestOf(work, { clock, signal })) {
        yield responseOf(asked.repo, value, isLast)
      }
    },
  }
}

function requestOf({ file, url, parallelism, verify }: ExportFilesRequest): ExportRequest {
  return { ...requireFile(file), url, parallelism, verifies: verify }
}

function responseOf(repo: string, counts: ExportCounts, done: boolean): Response {
  return {
    commit: { repo: { name: repo }, id: counts.commit },
    files: BigInt(counts.fileCount),
    bytes: BigInt(counts.sizeBytes),
    sameFiles: BigInt(counts.sameFileCount),
    sameBytes: BigInt(counts.sameBytes),
    done,
  }
}
