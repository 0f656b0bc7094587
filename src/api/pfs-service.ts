import { API } from '../gen/pfs_pb.ts'
import type { SourcePuts } from '../sources/source-puts.ts'
import type { StoredTrees } from '../versioning/stored-trees.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { service, type Route } from './grpc/service.ts'
import { branchHandlers } from './pfs/branch-handlers.ts'
import { commitHandlers } from './pfs/commit-handlers.ts'
import { fileHandlers } from './pfs/file-handlers.ts'
import { putFileHandlers } from './pfs/put-file.ts'
import { repoHandlers } from './pfs/repo-handlers.ts'

/** pfs.API: repos, commits, branches and files, on the wire as in 1.5. */
export function pfsRoutes(
  versioning: Versioning,
  trees: StoredTrees,
  sourcePuts: Pick<SourcePuts, 'put'>,
): readonly Route[] {
  return service(API, {
    ...repoHandlers(versioning),
    ...commitHandlers(versioning, trees),
    ...branchHandlers(versioning),
    ...putFileHandlers(versioning, sourcePuts),
    ...fileHandlers(versioning),
  })
}
