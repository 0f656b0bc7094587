import { PermissionDeniedError } from '../base/errors.ts'
import type { StoreSettings } from '../base/store-settings.ts'

/** Which object stores callers may name: any, those at the endpoints that the server was started with, or none. */
export type StoreReach = 'any' | 'public' | 'none'

/**
 * Where an endpoint leads is not looked at, so that a server which keeps to public addresses takes none.
 *
 * @throws {PermissionDeniedError} that begins with `refusal`, such as `cannot export to s3://bucket`.
 */
export function requireStoreReach(
  reach: StoreReach,
  { endpoint }: StoreSettings,
  refusal: string,
): void {
  if (reach === 'none') {
    throw new PermissionDeniedError(
      `${refusal}: this server exchanges nothing with object stores that callers name (it runs with --sources none)`,
    )
  }
  if (reach === 'public' && endpoint !== undefined) {
    throw new PermissionDeniedError(
      `${refusal}: this server goes to no endpoint that callers name (it runs with --sources public): leave it away, and have whoever runs the server name it as AWS_ENDPOINT_URL in its environment`,
    )
  }
}
