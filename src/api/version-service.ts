import { API } from '../gen/version_pb.ts'
import { service, type Route } from './grpc/service.ts'

/**
 * versionpb.API: the version whose contract is kept, 1.5.3, so that old clients and scripts know
 * what they talk to; our own release follows as `additional`, and is what
 * pachyderm.Admin/InspectServer says.
 */
export function versionRoutes(release: string): readonly Route[] {
  return service(API, {
    getVersion: () =>
      Promise.resolve({ major: 1, minor: 5, micro: 3, additional: `ts-${release}` }),
  })
}
