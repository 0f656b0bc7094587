import { InvalidArgumentError } from '../../base/errors.ts'

/** Why a stored text is none that could have been given. */
export function textProblem(parse: (text: string) => unknown, text: string): string | undefined {
  try {
    parse(text)
    return undefined
  } catch (error) {
    if (error instanceof InvalidArgumentError) return error.message
    throw error
  }
}
