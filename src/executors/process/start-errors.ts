import { type DomainError, FailedPreconditionError } from '../../base/errors.ts'
import { shortageError } from '../../base/shortages.ts'
import { shortened } from '../../base/shortened.ts'
import type { Transform } from '../../pipelines/executor.ts'

/** `hidden`: where the host has it, when that is out of sight for user code. */
export function programMissingError(
  transform: Transform,
  hidden?: string,
): FailedPreconditionError {
  if (hidden !== undefined) {
    return new FailedPreconditionError(
      `program ${programName(transform)} was not found: the host has it as ${hidden}, which user code ` +
        `does not see, as nothing below /tmp, /var/tmp, /run, /dev and the data directory, nor in /root ` +
        `and /home unless pachd --program-path names a directory there; install it elsewhere on the host`,
    )
  }
  const { PATH: path } = transform.environment
  // With a slash, it is not looked for.
  if (path !== undefined && transform.command[0]?.includes('/') !== true) {
    return new FailedPreconditionError(
      `program ${programName(transform)} was not found in ${shortened(JSON.stringify(path))}, where "transform.env" has PATH look: ` +
        `add the directory that it is in, or leave PATH out`,
    )
  }
  const instead = transform.image === '' ? '' : `, not those of image ${transform.image}`
  return new FailedPreconditionError(
    `program ${programName(transform)} was not found: the process executor runs the host's ` +
      `programs${instead}; install it on the host, or correct "transform.cmd"`,
  )
}

/**
 * Why the system could not start a program: where it was short of something, that is not the program's fault.
 * `fault`: what its file tells.
 */
export function startError(
  error: NodeJS.ErrnoException,
  transform: Transform,
  fault?: string,
): DomainError {
  const shortage = shortageError(error)
  if (shortage !== undefined) return shortage
  if (error.code === 'E2BIG') return programTooLongError(transform)
  if (fault !== undefined) return programUnstartableError(transform, { fault })
  return error.code === 'ENOENT'
    ? programMissingError(transform)
    : programUnstartableError(transform)
}

export function programTooLongError(transform: Transform): FailedPreconditionError {
  return new FailedPreconditionError(
    `program ${programName(transform)} cannot be started: its arguments and variables are longer than the kernel gives to a program; shorten "transform.cmd" or "transform.env"`,
  )
}

/** What is known of why a program cannot be started. */
export interface UnstartableReasons {
  /** Where the disk that the program is on is mounted, if nothing on it may be started. */
  readonly noexec?: string | undefined
  /** What its file tells. */
  readonly fault?: string | undefined
}

export function programUnstartableError(
  transform: Transform,
  { noexec, fault }: UnstartableReasons = {},
): FailedPreconditionError {
  if (noexec !== undefined) {
    return new FailedPreconditionError(
      `program ${programName(transform)} cannot be started on this host: the disk at ${noexec} is mounted "noexec"; ` +
        `install the program on another one, or mount that without (mount -o remount,exec ${noexec})`,
    )
  }
  if (fault !== undefined) {
    return new FailedPreconditionError(
      `program ${programName(transform)} cannot be started: ${fault}`,
    )
  }
  return new FailedPreconditionError(
    `program ${programName(transform)} cannot be started on this host: it must be an executable ` +
      `file, and a script's first line must name an interpreter that exists`,
  )
}

function programName(transform: Transform): string {
  return JSON.stringify(transform.command[0] ?? '')
}
