import { InvalidArgumentError } from '../../base/errors.ts'
import { checkShortText } from '../../base/short-texts.ts'

/**
 * Checks what somebody says about a commit; empty means nothing.
 *
 * @throws {InvalidArgumentError} when it is longer than 4,096 bytes, or holds what is no text.
 */
export function parseCommitMessage(text: string): string {
  checkShortText(text, "the commit's message", 'put long texts into a file of the commit')
  if (text.includes('\0')) {
    throw new InvalidArgumentError("the commit's message cannot contain null characters")
  }
  return text
}
