import { utf8 } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'

/** What a commit's message may have, in UTF-8: a page or two of text. */
const messageBytesMax = 4096

/**
 * Checks what somebody says about a commit; empty means nothing.
 *
 * @throws {InvalidArgumentError} when it is longer than 4,096 bytes, or holds what is no text.
 */
export function parseCommitMessage(text: string): string {
  // A shorter text cannot have more bytes than this, so no long one is encoded.
  const sizeBytes = text.length > messageBytesMax ? text.length : utf8(text).length
  if (sizeBytes > messageBytesMax) {
    throw new InvalidArgumentError(
      `the commit's message is too long: at most ${messageBytesMax} bytes are allowed, and it has ${text.length > messageBytesMax ? 'at least ' : ''}${sizeBytes}; put long texts into a file of the commit`,
    )
  }
  if (text.includes('\0')) {
    throw new InvalidArgumentError("the commit's message cannot contain null characters")
  }
  return text
}
