import { toBinary } from '@bufbuild/protobuf'
import { PermissionDeniedError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import { createClient } from '../../client/client.ts'
import { RpcError } from '../../client/rpc-error.ts'
import { ACLSchema, API as Auth } from '../../gen/auth_pb.ts'
import type { OldAccess } from '../old-records.ts'
import { type ServedCalls, tokenAdvice } from './served-calls.ts'

/** Of 1.4 and 1.5.0, which have no such service, and of those in which nobody has turned it on. */
function isOff({ code, message }: RpcError): boolean {
  return code === Code.unimplemented || message.includes('the auth service is not activated')
}

/**
 * Whether access control is on.
 *
 * @throws {PermissionDeniedError} when it is, and does not know the caller.
 */
export async function isAccessControlled(calls: ServedCalls): Promise<boolean> {
  try {
    await createClient(Auth, calls.transport).whoAmI({}, calls.options)
    return true
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    if (isOff(error)) return false
    if (error.code !== Code.unknown) throw calls.worded(error)
    throw new PermissionDeniedError(`${calls.name} says: ${error.message}. ${tokenAdvice}`, {
      cause: error,
    })
  }
}

/** The access lists of repos. Administrators and tokens it names to nobody. */
export async function accessLists(
  calls: ServedCalls,
  repos: readonly string[],
): Promise<readonly OldAccess[]> {
  const auth = createClient(Auth, calls.transport)
  const lists: OldAccess[] = []
  for (const repo of repos) {
    try {
      const { acl } = await auth.getACL({ repo }, calls.options)
      if (acl !== undefined)
        lists.push({ kind: 'acl', name: repo, value: toBinary(ACLSchema, acl) })
    } catch (error) {
      const hasNone = error instanceof RpcError && error.message.includes('ACL not found')
      if (!hasNone) throw calls.worded(error)
    }
  }
  return lists
}
