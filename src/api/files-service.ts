import { Files } from '../gen/pachyderm_pb.ts'
import type { Clock } from '../base/clock.ts'
import type { HistoryPuts } from '../sources/history-puts.ts'
import type { Secrets } from '../pipelines/secrets.ts'
import type { SourcePuts } from '../sources/source-puts.ts'
import type { Versioning } from '../versioning/versioning.ts'
import type { Exports } from '../targets/exports.ts'
import { diffBatches } from './files/diff-batches.ts'
import { exportFilesHandlers } from './files/export-files.ts'
import { fileHistoryHandlers } from './files/file-history.ts'
import { contentsHandlers, type ContentsPorts } from './files/contents.ts'
import { getFilesHandlers } from './files/get-files.ts'
import { putFilesHandlers } from './files/put-files.ts'
import { putHistoryHandlers } from './files/put-history.ts'
import { putSourcesHandlers } from './files/put-sources.ts'
import { SecretTexts } from './files/secret-texts.ts'
import { copyHandlers } from './files/copies.ts'
import { service, type Route } from './grpc/service.ts'
import { compareFiles } from './pfs/file-diff.ts'
import { batchedListing, globFiles, listFiles } from './pfs/file-listing.ts'
import { requireCommit, requireFile } from './pfs/names.ts'

/** pachyderm.Files: files in bulk, and lists of any length. Paths in answers are as in pfs.API. */
export function filesRoutes(
  versioning: Versioning,
  ports: ContentsPorts,
  fetching: {
    readonly puts: SourcePuts
    readonly history: HistoryPuts
    readonly exports: Exports
    readonly clock: Clock
    readonly secrets: Pick<Secrets, 'texts'>
  },
): readonly Route[] {
  const asked = { clock: fetching.clock, secrets: new SecretTexts(fetching.secrets) }
  return service(Files, {
    ...putFilesHandlers(versioning),
    ...getFilesHandlers(versioning),
    ...putSourcesHandlers(fetching.puts, asked),
    ...putHistoryHandlers(fetching.history, fetching.clock),
    ...exportFilesHandlers(fetching.exports, asked),
    ...contentsHandlers(versioning, ports),
    ...copyHandlers(versioning),
    ...fileHistoryHandlers(versioning),
    listFiles: {
      async *encoded({ file }, { signal }) {
        yield* batchedListing(await listFiles(versioning, requireFile(file), signal))
      },
    },
    globFiles: {
      async *encoded({ commit, pattern }, { signal }) {
        const options = { ...requireCommit(commit), pattern }
        yield* batchedListing(await globFiles(versioning, options, signal))
      },
    },
    diffFiles: {
      async *encoded(request, { signal }) {
        yield* diffBatches(await compareFiles(versioning, request, signal))
      },
    },
  })
}
