import { InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import { shownSource } from '../../base/source-urls.ts'

/**
 * Where outputs are exported to, as the spec gives it; undefined: nowhere. Whether it is a store that can
 * be written to is left to whoever writes there.
 *
 * @throws {InvalidArgumentError} for one with credentials: specs are shown, and stored as they are.
 */
export function checkEgress(pipeline: PipelineName, url: string | undefined): string | undefined {
  if (url === undefined || url === '') return undefined
  if (!mayHoldCredentials(url)) return url
  throw new InvalidArgumentError(
    `pipeline ${pipeline}: the egress URL ${shownSource(url)} has what may be a password or a signature, and specs are shown to everybody: give credentials to pachd, in its environment, and write a question mark of a key as %3F`,
  )
}

/** A user with a password before the bucket, or a signed query; Hadoop has a container before an `@`. */
function mayHoldCredentials(url: string): boolean {
  if (url.includes('?')) return true
  const [, scheme = '', authority = ''] = /^([^:/]*):\/\/([^/]*)/.exec(url) ?? []
  const at = authority.lastIndexOf('@')
  if (at === -1) return false
  return !/^wasbs?$/i.test(scheme) || /[:@]/.test(authority.slice(0, at))
}
