import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'

/** The command line makes no sense: a flag, an argument or a command that is not there. */
export class UsageError extends InvalidArgumentError {
  override readonly name = 'UsageError'
  /** Whether to show how the command is called. */
  readonly showsUsage: boolean

  constructor(message: string, options?: ErrorOptions & { readonly showsUsage?: boolean }) {
    super(message, options)
    this.showsUsage = options?.showsUsage ?? false
  }
}

/** A person was asked, and did not say yes. */
export class DeclinedError extends FailedPreconditionError {
  override readonly name = 'DeclinedError'
}

/** A command failed with `cause`, and the commit that it had opened is still open. */
export class LeftOpenError extends FailedPreconditionError {
  override readonly name = 'LeftOpenError'
}

/** A command failed with `cause`, and what a person wrote for it is kept in a file. */
export class KeptTextError extends FailedPreconditionError {
  override readonly name = 'KeptTextError'
}
