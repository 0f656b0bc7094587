import type { DescMethod } from '@bufbuild/protobuf'
import * as auth from '../../src/gen/auth_pb.ts'
import * as health from '../../src/gen/health_pb.ts'
import * as pachyderm from '../../src/gen/pachyderm_pb.ts'
import * as pfs from '../../src/gen/pfs_pb.ts'
import * as pps from '../../src/gen/pps_pb.ts'
import * as version from '../../src/gen/version_pb.ts'

const services = [
  pfs.API,
  pfs.ObjectAPI,
  pps.API,
  auth.API,
  health.Health,
  version.API,
  pachyderm.Files,
  pachyderm.Commits,
  pachyderm.Jobs,
  pachyderm.Pipelines,
  pachyderm.Admin,
  pachyderm.Transactions,
]

/** Every call that a server answers. */
export const everyMethod: readonly DescMethod[] = services.flatMap<DescMethod>(
  ({ methods }) => methods,
)
