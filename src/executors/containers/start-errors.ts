import { FailedPreconditionError } from '../../base/errors.ts'
import type { Transform } from '../../pipelines/executor.ts'

export function programMissingError(transform: Transform): FailedPreconditionError {
  return new FailedPreconditionError(
    `program ${programName(transform)} was not found in image ${transform.image}: add it to the image, or correct "transform.cmd" (the image's own entry point is not used)`,
  )
}

export function programUnstartableError(transform: Transform): FailedPreconditionError {
  return new FailedPreconditionError(
    `program ${programName(transform)} of image ${transform.image} cannot be started: it must be an executable file, and a script's first line must name an interpreter that the image has`,
  )
}

function programName(transform: Transform): string {
  return JSON.stringify(transform.command[0] ?? '')
}
