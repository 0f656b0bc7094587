import { InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import { shownSource } from '../../base/source-urls.ts'
import { areStoreSettings, partedSettings } from '../../base/store-settings.ts'
import type { RequestedSpec } from '../requested-specs.ts'
import { isSecretName } from '../secrets/secret-check.ts'

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
    `pipeline ${pipeline}: the egress URL ${shownSource(url)} has what may be a password or a signature, and specs are shown to everybody: name a secret with credentials in egress.secret, or give them to pachd, in its environment, and write a question mark of a key as %3F`,
  )
}

/** @throws {InvalidArgumentError} */
export function checkEgressSecret(
  pipeline: PipelineName,
  { egressUrl = '', egressSecret = '' }: RequestedSpec,
): { readonly egressSecret?: string } {
  if (egressSecret === '') return {}
  if (egressUrl === '') {
    throw new InvalidArgumentError(`pipeline ${pipeline}: egress has a "secret", and no "URL"`)
  }
  if (isSecretName(egressSecret)) return { egressSecret }
  throw new InvalidArgumentError(
    `pipeline ${pipeline}: egress.secret ${JSON.stringify(egressSecret.slice(0, 253))} is not the name of a secret: lower-case letters, digits, "-" and "."`,
  )
}

/** A user with a password before the bucket, or a signed query; Hadoop has a container before an `@`. */
function mayHoldCredentials(url: string): boolean {
  const { bare, query } = partedSettings(url)
  if (query !== undefined && !areStoreSettings(query)) return true
  const [, scheme = '', authority = ''] = /^([^:/]*):\/\/([^/]*)/.exec(bare) ?? []
  const at = authority.lastIndexOf('@')
  if (at === -1) return false
  return !/^wasbs?$/i.test(scheme) || /[:@]/.test(authority.slice(0, at))
}
