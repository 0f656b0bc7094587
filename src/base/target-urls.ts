import { InvalidArgumentError } from './errors.ts'
import { parseSourceUrl, shownSource, type StoreUrl } from './source-urls.ts'

/**
 * An object store's URL that files are exported to, or what else is said to be done with it.
 *
 * @throws {InvalidArgumentError} for what is none.
 */
export function parseTargetUrl(text: string, use = 'export to'): StoreUrl {
  if (/^(?:s3|gs|gcs|as|wasbs?):\/\//i.test(text)) {
    const url = parseSourceUrl(text)
    if (url.kind !== 'http' && url.kind !== 'pfs') return url
  }
  throw new InvalidArgumentError(
    `cannot ${use} ${shownSource(text)}: name an object store, as in s3://BUCKET/KEY or as://HOST/CONTAINER/BLOB`,
  )
}
