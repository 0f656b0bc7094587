import { UnavailableError } from '../../base/errors.ts'

/** A sandbox took so long that there is little use in trying again at once. */
export class SandboxLateError extends UnavailableError {
  override readonly name = 'SandboxLateError'
}
