import type { ServicePorts } from './specs/service-check.ts'

/** Where services are reached. */
export interface ServiceDoors {
  /** At which the server itself listens. */
  readonly ownPorts: ReadonlySet<number>
  /**
   * Hands on what connects at the external port to the internal one, until it is disposed of; does
   * nothing where both are the same.
   *
   * @throws {UnavailableError} when the port is taken or not allowed.
   */
  open(ports: ServicePorts): Promise<AsyncDisposable>
}
