import { InvalidArgumentError } from '../base/errors.ts'
import { hasPassword, parseSourceUrl, shownSource } from '../base/source-urls.ts'
import type { BucketName } from '../clouds/bucket.ts'
import { parseObjectKey } from '../storage/object-store.ts'

/** A bucket, or a part of it, that a data directory keeps its packs in. */
export interface BucketPlace extends BucketName {
  /** As it is written down, so that the same place is always the same text. */
  readonly url: string
  /** Empty, or ends with a slash; all keys begin with it. */
  readonly prefix: string
}

const example = 's3://BUCKET/PREFIX, as://HOST/CONTAINER/PREFIX or gs://BUCKET/PREFIX'

/**
 * `s3://bucket/prefix?endpoint=https://…&region=…`, or the same of Azure's and Google's without settings.
 *
 * @throws {InvalidArgumentError} with advice.
 */
export function parseBucketPlace(text: string): BucketPlace {
  if (hasPassword(text)) {
    throw refused(text, "credentials belong into pachd's environment, where nobody else sees them")
  }
  if (!/^(?:s3|gs|gcs|as|wasbs?):\/\//i.test(text)) throw refused(text, `write ${example}`)
  const store = parseSourceUrl(text)
  if (store.kind === 'http' || store.kind === 'pfs') throw refused(text, `write ${example}`)
  const { key, ...named } = store
  const name = key.replace(/\/+$/, '')
  const prefix = name === '' ? '' : `${prefixOf(text, name)}/`
  const place = { ...named, prefix }
  return { ...place, url: urlOf(place) }
}

function prefixOf(text: string, name: string): string {
  try {
    return parseObjectKey(name)
  } catch (error) {
    const why = 'the prefix may have letters, digits, "-", "_", "." and single slashes'
    throw refused(text, why, { cause: error })
  }
}

function urlOf({
  kind,
  bucket,
  account,
  prefix,
  endpoint,
  region,
}: Omit<BucketPlace, 'url'>): string {
  const scheme = { s3: 's3', gcs: 'gs', azure: 'as' }[kind]
  const host =
    kind === 'azure'
      ? `${account === undefined ? 'host' : `${account}.blob.core.windows.net`}/`
      : ''
  const query = new URLSearchParams({
    ...(endpoint !== undefined && { endpoint }),
    ...(region !== undefined && { region }),
  })
  const end =
    query.size === 0 ? '' : `?${query.toString().replaceAll('%3A', ':').replaceAll('%2F', '/')}`
  return `${scheme}://${host}${bucket}/${prefix}`.replace(/\/$/, '') + end
}

function refused(text: string, why: string, options?: ErrorOptions): InvalidArgumentError {
  return new InvalidArgumentError(`cannot keep packs in ${shownSource(text)}: ${why}`, options)
}
