import { FailedPreconditionError } from '../base/errors.ts'
import { API } from '../gen/auth_pb.ts'
import { service, type Route } from './grpc/service.ts'

/** Clients of 1.5 look for this text: they take it as "everybody may do everything". */
const notActivated = 'the auth service is not activated'

function refuse(): Promise<never> {
  return Promise.reject(new FailedPreconditionError(notActivated))
}

/** auth.API while there is no access control: every call says so. */
export function authRoutes(): readonly Route[] {
  return service(API, {
    activate: refuse,
    authenticate: refuse,
    authorize: refuse,
    whoAmI: refuse,
    getScope: refuse,
    setScope: refuse,
    getACL: refuse,
    setACL: refuse,
    getCapability: refuse,
    revokeAuthToken: refuse,
  })
}
