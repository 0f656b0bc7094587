import { utf8, utf8Text } from './bytes.ts'
import { InvalidArgumentError } from './errors.ts'

/** What people say about something, in UTF-8: a page or two of text. */
export const shortTextBytesMax = 4096

/**
 * Checks what somebody says about something, which lists show; empty means nothing.
 *
 * @throws {InvalidArgumentError} when it is longer than 4,096 bytes: `what` is too long, and `advice` says where
 * to put long ones.
 */
export function checkShortText(text: string, what: string, advice: string): string {
  const isLong = text.length > shortTextBytesMax
  // A shorter text cannot have more bytes than this, so no long one is encoded.
  const sizeBytes = isLong ? text.length : utf8(text).length
  if (sizeBytes <= shortTextBytesMax) return text
  throw new InvalidArgumentError(
    `${what} is too long: at most ${shortTextBytesMax} bytes are allowed, and it has ${isLong ? 'at least ' : ''}${sizeBytes}; ${advice}`,
  )
}

/** A text that was stored before there was a bound, as far as lists show it. */
export function shownText(text: string): string {
  if (text.length * 3 <= shortTextBytesMax) return text
  const bytes = utf8(text.slice(0, shortTextBytesMax + 1))
  if (bytes.length <= shortTextBytesMax) return text
  let end = shortTextBytesMax
  // Not in the middle of a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return `${utf8Text(bytes.subarray(0, end))}…`
}
