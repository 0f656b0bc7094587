import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Clock } from '../../base/clock.ts'
import type { PutSourcesRequest, PutSourcesResponseSchema, Files } from '../../gen/pachyderm_pb.ts'
import type { SourcePutCounts, SourcePutRequest, SourcePuts } from '../../sources/source-puts.ts'
import type { SecretTexts } from './secret-texts.ts'
import { latestOf } from '../grpc/latest.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireCommit } from '../pfs/names.ts'
import { splitOf } from '../pfs/split-fields.ts'

type Response = MessageInitShape<typeof PutSourcesResponseSchema>

/** PutSources: how far it is, as often as the caller takes it; last of all, that it is done. */
export function putSourcesHandlers(
  puts: SourcePuts,
  { clock, secrets }: { readonly clock: Clock; readonly secrets: SecretTexts },
): ServiceHandlers<typeof Files> {
  return {
    async *putSources(request, { signal }) {
      const asked = { ...requestOf(request), credentials: await secrets.given(request.secret) }
      const work = (tell: (counts: SourcePutCounts) => void, stop: AbortSignal) =>
        puts.put(asked, { signal: stop, onProgress: tell })
      for await (const news of latestOf(work, { clock, signal })) {
        yield responseOf(news.value, news.isLast)
      }
    },
  }
}

function requestOf({
  commit,
  sources,
  recursive,
  overwrite,
  parallelism,
  resume,
  split,
}: PutSourcesRequest): SourcePutRequest {
  return {
    ...requireCommit(commit),
    sources: sources.map(({ url, path, addOwnName }) => ({ url, path, addsOwnName: addOwnName })),
    isRecursive: recursive,
    overwrite,
    parallelism,
    resumes: resume,
    split: splitOf(split),
  }
}

function responseOf({ fileCount, sizeBytes, keptBytes }: SourcePutCounts, done: boolean): Response {
  return {
    files: BigInt(fileCount),
    bytes: BigInt(sizeBytes),
    keptBytes: BigInt(keptBytes),
    done,
  }
}
