import { InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import { shownSource } from '../../base/source-urls.ts'
import { parseTargetUrl } from '../../base/target-urls.ts'

/** Where outputs are exported to, as the spec gives it; undefined: nowhere. @throws {InvalidArgumentError} */
export function checkEgress(pipeline: PipelineName, url: string | undefined): string | undefined {
  if (url === undefined || url === '') return undefined
  if (mayHoldCredentials(url)) {
    throw new InvalidArgumentError(
      `pipeline ${pipeline}: the egress URL ${shownSource(url)} has what may be a password or a signature, and specs are shown to everybody: give credentials to pachd, as docs/export.md says, and write a question mark of a key as %3F`,
    )
  }
  try {
    parseTargetUrl(url)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new InvalidArgumentError(`pipeline ${pipeline}: egress: ${error.message}`, {
      cause: error,
    })
  }
  return url
}

/** A user with a password before the bucket, or a signed query; Hadoop has a container before an `@`. */
function mayHoldCredentials(url: string): boolean {
  if (url.includes('?')) return true
  const [, scheme = '', authority = ''] = /^([^:/]*):\/\/([^/]*)/.exec(url) ?? []
  const at = authority.lastIndexOf('@')
  if (at === -1) return false
  return !/^wasbs?$/i.test(scheme) || /[:@]/.test(authority.slice(0, at))
}
