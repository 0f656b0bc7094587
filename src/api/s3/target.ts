import { S3Error } from './errors.ts'

/** What a request is for, as it was written. */
export interface S3Target {
  /** Decoded; empty for the service itself. */
  readonly bucket: string
  /** Decoded; undefined for the bucket itself. */
  readonly key: string | undefined
  /** The path as it was sent, which is what is signed. */
  readonly path: string
  readonly query: S3Query
}

/** Decoded names and values of a query, in their order. */
export class S3Query {
  readonly pairs: readonly (readonly [name: string, value: string])[]

  /** @throws {S3Error} for escapes that are no UTF-8. */
  constructor(text: string) {
    this.pairs = text
      .split('&')
      .filter((pair) => pair !== '')
      .map((pair) => {
        const end = pair.includes('=') ? pair.indexOf('=') : pair.length
        return [decodedQuery(pair.slice(0, end)), decodedQuery(pair.slice(end + 1))] as const
      })
  }

  has(name: string): boolean {
    return this.pairs.some(([own]) => own === name)
  }

  get(name: string): string | undefined {
    return this.pairs.find(([own]) => own === name)?.[1]
  }

  /** A whole number of at least 0. @throws {S3Error} */
  count(name: string): number | undefined {
    const text = this.get(name)
    if (text === undefined || text === '') return undefined
    if (/^\d{1,10}$/.test(text)) return Number(text)
    throw new S3Error('InvalidArgument', `${name}=${text} is no whole number of at least 0`)
  }
}

/**
 * The bucket is the first name of the path; or, where the server has a domain of its own, what stands
 * before that in the host's name.
 *
 * @throws {S3Error} for escapes that are no UTF-8.
 */
export function parseS3Target(
  url: string,
  host: string | undefined,
  domain: string | undefined,
): S3Target {
  // A proxy may be asked with the whole URL.
  const local = url.replace(/^https?:\/\/[^/?]*/i, '')
  const end = local.includes('?') ? local.indexOf('?') : local.length
  const path = local.slice(0, end) || '/'
  const query = new S3Query(local.slice(end + 1))
  const hosted = bucketOfHost(host, domain)
  const rest = path.slice(1)
  if (hosted !== undefined) {
    return { bucket: hosted, key: rest === '' ? undefined : decodedPath(rest), path, query }
  }
  const bucketEnd = rest.includes('/') ? rest.indexOf('/') : rest.length
  const key = rest.slice(bucketEnd + 1)
  return {
    bucket: decodedPath(rest.slice(0, bucketEnd)),
    key: key === '' ? undefined : decodedPath(key),
    path,
    query,
  }
}

function bucketOfHost(host: string | undefined, domain: string | undefined): string | undefined {
  if (host === undefined || domain === undefined) return undefined
  const name = host.replace(/:\d+$/, '')
  const suffix = `.${domain.toLowerCase()}`
  return name.toLowerCase().endsWith(suffix) ? name.slice(0, -suffix.length) : undefined
}

function decodedQuery(text: string): string {
  return decodedPath(text.replaceAll('+', ' '))
}

/** @throws {S3Error} */
export function decodedPath(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    throw new S3Error(
      'InvalidURI',
      `${JSON.stringify(text.slice(0, 200))} is not UTF-8 in percent encoding: write a percent sign as %25`,
      { cause: error },
    )
  }
}
