import { UsageError } from '../errors.ts'

/** What stands for bytes that are no UTF-8 in the texts that Node hands on. */
const replacement = '\ufffd'

/**
 * Refuses a text whose bytes were lost on the way here, so that nothing is done under another name.
 *
 * @throws {UsageError}
 */
export function refuseReplaced(text: string, what: string): void {
  if (!text.includes(replacement)) return
  throw new UsageError(
    `${what} is not UTF-8 (or holds U+FFFD, which stands for what is not): names and paths in a repo are UTF-8, so write it in UTF-8; a local file of any name can be put with pachctl put-file REPO BRANCH PATH < FILE`,
  )
}
