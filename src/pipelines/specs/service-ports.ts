import { AlreadyExistsError, InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { getPipeline } from '../pipeline-records.ts'
import type { ServicePorts } from './service-check.ts'

/**
 * Checks the ports of a service against those of the others: all are ports of one machine.
 *
 * @throws {AlreadyExistsError} when another pipeline listens, or is reached, at one of them.
 */
export async function requireFreePorts(
  tx: ReadTransaction,
  name: PipelineName,
  ports: ServicePorts,
): Promise<void> {
  const others = await tx.all<{ readonly name: PipelineName }>(
    'SELECT name FROM pipelines WHERE service_port IS NOT NULL AND name <> ? ORDER BY name',
    name,
  )
  for (const other of others) {
    const { service } = (await getPipeline(tx, other.name)).spec
    const taken = service === undefined ? [] : fieldsOf(service)
    for (const [field, port] of fieldsOf(ports)) {
      const [otherField] = taken.find(([, otherPort]) => otherPort === port) ?? []
      if (otherField === undefined) continue
      throw new AlreadyExistsError(
        `pipeline ${name}: ${field} ${port} is ${otherField} of pipeline ${other.name}, and both are ports of one machine; choose another${field === 'service.internal_port' ? ', at which the code listens' : ''}`,
      )
    }
  }
}

/** @throws {InvalidArgumentError} when the server itself listens at one of them. */
export function requireOtherPorts(
  name: PipelineName,
  ports: ServicePorts,
  own: ReadonlySet<number>,
): void {
  const [field, port] = fieldsOf(ports).find(([, each]) => own.has(each)) ?? []
  if (field === undefined) return
  throw new InvalidArgumentError(
    `pipeline ${name}: ${field} ${port} is a port of pachd itself; choose another`,
  )
}

function fieldsOf({ externalPort, internalPort }: ServicePorts): readonly [string, number][] {
  return [
    ['service.external_port', externalPort],
    ['service.internal_port', internalPort],
  ]
}
