import type { DescMethod } from '@bufbuild/protobuf'
import { file_auth } from '../../src/gen/auth_pb.ts'
import { file_health } from '../../src/gen/health_pb.ts'
import { file_pachyderm } from '../../src/gen/pachyderm_pb.ts'
import { file_pfs } from '../../src/gen/pfs_pb.ts'
import { file_pps } from '../../src/gen/pps_pb.ts'
import { file_version } from '../../src/gen/version_pb.ts'

const files = [file_pfs, file_pps, file_auth, file_health, file_version, file_pachyderm]

/** Every call that a server answers: all of all services, the newest too. */
export const everyMethod: readonly DescMethod[] = files
  .flatMap(({ services }) => services)
  .flatMap<DescMethod>(({ methods }) => methods)
