import { InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { Transform } from '../executor.ts'
import { programSizeFault } from '../program-sizes.ts'
import type { RequestedTransform } from '../requested-specs.ts'

export interface ErrorHandling {
  /** Run for a datum that has failed: success lets the job go on without it. */
  readonly errorCommand?: Pick<Transform, 'command' | 'stdinLines'>
}

/**
 * What a pipeline runs for a datum that has failed.
 *
 * @throws {InvalidArgumentError}
 */
export function checkErrorCommand(
  name: PipelineName,
  { errorCommand: command = [], errorStdinLines: stdinLines = [], environment }: RequestedTransform,
): ErrorHandling {
  if (command.length === 0) {
    if (stdinLines.length === 0) return {}
    throw new InvalidArgumentError(
      `pipeline ${name}: transform.err_stdin is set and err_cmd is not; "err_cmd" is the program that reads it`,
    )
  }
  if (command[0] === '') {
    throw new InvalidArgumentError(
      `pipeline ${name}: the program of transform.err_cmd is empty; "err_cmd" is a program and its arguments, e.g. ["true"]`,
    )
  }
  for (const text of [...command, ...stdinLines]) {
    if (!text.includes('\0')) continue
    throw new InvalidArgumentError(
      `pipeline ${name}: ${JSON.stringify(text)} holds a null character, which no program can be given`,
    )
  }
  const sizeFault = programSizeFault({ command, environment }, 'err_cmd')
  if (sizeFault !== undefined) throw new InvalidArgumentError(`pipeline ${name}: ${sizeFault}`)
  return { errorCommand: { command, stdinLines } }
}
