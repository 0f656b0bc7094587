import { CancelledError, InvalidArgumentError } from '../base/errors.ts'

/** The command line makes no sense: a flag, an argument or a command that is not there. */
export class UsageError extends InvalidArgumentError {
  override readonly name = 'UsageError'
  /** What to show below the message: the usage of a command, or nothing. */
  readonly usage: string

  constructor(message: string, usage = '', options?: ErrorOptions) {
    super(message, options)
    this.usage = usage
  }
}

/** Whoever read the output has seen enough: `pachctl list-file … | head`. */
export class OutputClosedError extends CancelledError {
  override readonly name = 'OutputClosedError'
}
