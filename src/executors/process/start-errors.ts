import { FailedPreconditionError } from '../../base/errors.ts'
import type { Transform } from '../../pipelines/executor.ts'

export function programMissingError(transform: Transform): FailedPreconditionError {
  const instead = transform.image === '' ? '' : `, not those of image ${transform.image}`
  return new FailedPreconditionError(
    `program ${programName(transform)} was not found: the process executor runs the host's ` +
      `programs${instead}; install it on the host, or correct "transform.cmd"`,
  )
}

export function programUnstartableError(transform: Transform): FailedPreconditionError {
  return new FailedPreconditionError(
    `program ${programName(transform)} cannot be started on this host: it must be an executable ` +
      `file, and a script's first line must name an interpreter that exists`,
  )
}

function programName(transform: Transform): string {
  return JSON.stringify(transform.command[0] ?? '')
}
