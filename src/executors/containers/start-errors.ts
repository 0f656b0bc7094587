import { FailedPreconditionError } from '../../base/errors.ts'
import type { Transform } from '../../pipelines/executor.ts'

export function programMissingError(transform: Transform): FailedPreconditionError {
  return new FailedPreconditionError(
    `program ${programName(transform)} was not found in image ${transform.image}: add it to the image, or correct "transform.cmd" (the image's own entry point is not used)`,
  )
}

/** `fault`: what its file tells. */
export function programUnstartableError(
  transform: Transform,
  fault: string | undefined,
): FailedPreconditionError {
  const program = `program ${programName(transform)} of image ${transform.image}`
  if (fault !== undefined) {
    return new FailedPreconditionError(`${program} cannot be started: ${fault}`)
  }
  return new FailedPreconditionError(
    `${program} cannot be started: it must be an executable file, and a script's first line must name an interpreter that the image has`,
  )
}

function programName(transform: Transform): string {
  return JSON.stringify(transform.command[0] ?? '')
}
