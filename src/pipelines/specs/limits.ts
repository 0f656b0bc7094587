import { InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { RequestedSpec } from '../requested-specs.ts'

/** How often, and how long, a pipeline's code may run. */
export interface Limits {
  /** After so many failures of user code a datum fails; unset: after four, as in 1.5. */
  readonly datumTries?: number
  /** User code that runs longer is ended, as a try that failed. */
  readonly datumTimeoutMs?: number
  /** A job that runs longer is killed. */
  readonly jobTimeoutMs?: number
}

const datumTriesMax = 1000
const timeoutMsMax = 365 * 24 * 3600 * 1000

/**
 * What is 0 is not set, as in later releases.
 *
 * @throws {InvalidArgumentError}
 */
export function checkLimits(name: PipelineName, request: RequestedSpec): Limits {
  const { datumTries = 0 } = request
  if (!Number.isInteger(datumTries) || datumTries < 0 || datumTries > datumTriesMax) {
    throw new InvalidArgumentError(
      `pipeline ${name}: datum_tries ${datumTries} must be between 1 and ${datumTriesMax}`,
    )
  }
  const datumTimeoutMs = checkTimeout(name, 'datum_timeout', request.datumTimeoutMs)
  const jobTimeoutMs = checkTimeout(name, 'job_timeout', request.jobTimeoutMs)
  return {
    ...(datumTries !== 0 && { datumTries }),
    ...(datumTimeoutMs !== undefined && { datumTimeoutMs }),
    ...(jobTimeoutMs !== undefined && { jobTimeoutMs }),
  }
}

function checkTimeout(name: PipelineName, field: string, ms = 0): number | undefined {
  if (ms === 0) return undefined
  // Less than a millisecond, nothing runs.
  if (ms >= 1 && ms <= timeoutMsMax) return ms
  throw new InvalidArgumentError(
    `pipeline ${name}: ${field} must be between 1ms and a year, such as "10m"; leave it out for no limit`,
  )
}
