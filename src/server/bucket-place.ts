import { InvalidArgumentError } from '../base/errors.ts'
import { hasPassword, parseSourceUrl, shownSource } from '../base/source-urls.ts'
import type { BucketName, CloudEnvironment } from '../clouds/bucket.ts'
import { parseObjectKey } from '../storage/object-store.ts'

/** A bucket, or a part of it, that a data directory keeps its packs in. */
export interface BucketPlace extends BucketName {
  /** As it is written down, so that the same place is always the same text. */
  readonly url: string
  /** Empty, or ends with a slash; all keys begin with it. */
  readonly prefix: string
  /** Of what is like S3. */
  readonly endpoint?: string
  readonly region?: string
}

const example = 's3://BUCKET/PREFIX, as://HOST/CONTAINER/PREFIX or gs://BUCKET/PREFIX'
const settings = ['endpoint', 'region'] as const

/**
 * `s3://bucket/prefix?endpoint=https://…&region=…`, or the same of Azure's and Google's without settings.
 *
 * @throws {InvalidArgumentError} with advice.
 */
export function parseBucketPlace(text: string): BucketPlace {
  if (hasPassword(text)) {
    throw refused(text, "credentials belong into pachd's environment, where nobody else sees them")
  }
  const [bare = '', query] = text.split(/\?(.*)$/s)
  if (!/^(?:s3|gs|gcs|as|wasbs?):\/\//i.test(bare)) throw refused(text, `write ${example}`)
  const store = parseSourceUrl(bare)
  if (store.kind === 'http' || store.kind === 'pfs') throw refused(text, `write ${example}`)
  const { kind, bucket, account, key } = store
  const name = key.replace(/\/+$/, '')
  const prefix = name === '' ? '' : `${prefixOf(text, name)}/`
  const given = query === undefined ? {} : settingsOf(text, query)
  if (kind !== 's3' && query !== undefined) {
    throw refused(text, 'only s3:// takes settings behind a question mark')
  }
  const place = { kind, bucket, prefix, ...(account !== undefined && { account }), ...given }
  return { ...place, url: urlOf(place) }
}

/** What the library that speaks to the bucket is told. */
export function environmentFor(
  { endpoint, region }: BucketPlace,
  clouds: CloudEnvironment,
): CloudEnvironment {
  const variables = {
    ...clouds.variables,
    ...(endpoint !== undefined && { AWS_ENDPOINT_URL_S3: endpoint }),
    ...(region !== undefined && { AWS_REGION: region }),
  }
  return { ...clouds, variables }
}

function prefixOf(text: string, name: string): string {
  try {
    return parseObjectKey(name)
  } catch (error) {
    const why = 'the prefix may have letters, digits, "-", "_", "." and single slashes'
    throw refused(text, why, { cause: error })
  }
}

function settingsOf(
  text: string,
  query: string,
): { readonly endpoint?: string; readonly region?: string } {
  const given = new URLSearchParams(query)
  const unknown = [...given.keys()].find((name) => !(settings as readonly string[]).includes(name))
  if (unknown !== undefined) {
    throw refused(
      text,
      `it has the setting ${JSON.stringify(unknown)}: there are endpoint and region`,
    )
  }
  const endpoint = given.get('endpoint') ?? ''
  const region = given.get('region') ?? ''
  if (endpoint !== '') {
    const url = URL.parse(endpoint)
    const isPlain = url?.username === '' && url.search === '' && /^https?:$/.test(url.protocol)
    if (!isPlain) {
      throw refused(text, 'its endpoint is no address such as https://storage.example.com')
    }
  }
  if (!/^[A-Za-z0-9-]{0,64}$/.test(region)) throw refused(text, 'its region is none')
  return { ...(endpoint !== '' && { endpoint }), ...(region !== '' && { region }) }
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
