import { InvalidArgumentError } from '../base/errors.ts'

/** What was met in a part of a spec: a refusal is told with the part's name, for a file may have many specs. */
export function refusedIn(part: () => string, error: unknown): unknown {
  if (!(error instanceof InvalidArgumentError)) return error
  return new InvalidArgumentError(`${part()}: ${error.message}`, { cause: error })
}
