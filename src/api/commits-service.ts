import { Commits } from '../gen/pachyderm_pb.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { commitTagHandlers } from './commits/commit-tags.ts'
import { service, type Route } from './grpc/service.ts'

/** pachyderm.Commits: what 1.5 cannot do with commits. */
export function commitsRoutes(versioning: Versioning): readonly Route[] {
  return service(Commits, commitTagHandlers(versioning))
}
