import { InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { RequestedService } from '../requested-specs.ts'

/** The port on which user code listens, and that at which it is reached. */
export interface ServicePorts {
  readonly internalPort: number
  readonly externalPort: number
}

const portMax = 65_535

/** @throws {InvalidArgumentError} */
export function checkService(name: PipelineName, requested: RequestedService): ServicePorts {
  const { internalPort } = requested
  const externalPort = requested.externalPort === 0 ? internalPort : requested.externalPort
  for (const [field, port] of Object.entries({
    internal_port: internalPort,
    external_port: externalPort,
  })) {
    if (Number.isInteger(port) && port >= 1 && port <= portMax) continue
    throw new InvalidArgumentError(
      `pipeline ${name}: service.${field} ${port} must be a port between 1 and ${portMax}`,
    )
  }
  return { internalPort, externalPort }
}
