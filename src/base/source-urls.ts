import { InvalidArgumentError } from './errors.ts'
import { parseStoreSettings, partedSettings, type StoreSettings } from './store-settings.ts'

/** The port of pachd where a URL names none. */
const pachdPort = 30650
const portMax = 65_535

/** A place that files are put from, other than a local path. */
export type SourceUrl = HttpUrl | StoreUrl | PfsUrl

export interface HttpUrl {
  readonly kind: 'http'
  readonly url: URL
}

/** An object, or all whose keys begin with the key. Only `s3` has settings. */
export interface StoreUrl extends StoreSettings {
  readonly kind: 's3' | 'gcs' | 'azure'
  readonly bucket: string
  readonly key: string
  /** Of Azure, where the URL names it. */
  readonly account?: string
}

/** A commit of another pachd, and a file or directory in it. */
export interface PfsUrl {
  readonly kind: 'pfs'
  readonly host: string
  readonly port: number
  readonly repo: string
  /** A branch or an id; in 1.3 also `branch/N`, then with `%2F` in the URL. */
  readonly commit: string
  /** The names below it. */
  readonly path: readonly string[]
}

const schemePattern = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//
/** `host:port/repo/commit`, as the guide from 1.3 to 1.4 writes it. */
const barePattern = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}\/[A-Za-z0-9_-]+\/[^/]/

/** Whether `text` names a source by URL, with a scheme or as `host:port/repo/commit`. */
export function isSourceUrl(text: string): boolean {
  return schemePattern.test(text) || isBarePfsUrl(text)
}

/** Whether `text` is `host:port/repo/commit…`, which could also be a local path. */
export function isBarePfsUrl(text: string): boolean {
  return barePattern.test(text)
}

/** @throws {InvalidArgumentError} for a scheme that is not known, and for what is no URL. */
export function parseSourceUrl(text: string): SourceUrl {
  const scheme = schemePattern.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) {
    if (isBarePfsUrl(text)) return parsePfs(text, text)
    const first = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1] ?? ''
    throw unknownScheme(text, first)
  }
  const rest = text.slice(scheme.length + '://'.length)
  switch (scheme) {
    case 'http':
    case 'https':
      return { kind: 'http', url: parseHttp(text) }
    case 's3': {
      const { bare, query } = partedSettings(rest)
      return { kind: 's3', ...parseBucket(text, scheme, bare), ...settingsOf(text, query) }
    }
    case 'gs':
    case 'gcs':
      return { kind: 'gcs', ...parseBucket(text, scheme, withoutSettings(text, rest)) }
    case 'as':
    case 'wasb':
    case 'wasbs':
      return { kind: 'azure', ...parseContainer(text, withoutSettings(text, rest)) }
    case 'pfs':
      return parsePfs(text, rest)
    default:
      throw unknownScheme(text, scheme)
  }
}

function unknownScheme(text: string, scheme: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `error parsing url ${shownSource(text)}: unrecognized object store: ${scheme}; files are put from http, https, s3, gs, gcs, as, wasb and pfs URLs`,
  )
}

function malformed(text: string, why: string): InvalidArgumentError {
  return new InvalidArgumentError(`error parsing url ${shownSource(text)}: ${why}`)
}

function parseHttp(text: string): URL {
  const url = URL.parse(text)
  if (url === null) {
    throw malformed(text, 'not a URL; write it as in https://example.com/directory/file')
  }
  return url
}

const questionMark = 'write a question mark that belongs to a key as %3F'

function settingsOf(text: string, query: string | undefined): StoreSettings {
  if (query === undefined) return {}
  try {
    return parseStoreSettings(query)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw malformed(text, `${error.message}; ${questionMark}`)
  }
}

function withoutSettings(text: string, rest: string): string {
  if (!rest.includes('?')) return rest
  throw malformed(text, `only s3:// takes settings behind a question mark; ${questionMark}`)
}

function parseBucket(
  text: string,
  scheme: string,
  rest: string,
): { readonly bucket: string; readonly key: string } {
  const slash = rest.indexOf('/')
  const bucket = slash === -1 ? rest : rest.slice(0, slash)
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,220}$/.test(bucket)) {
    throw malformed(
      text,
      `${JSON.stringify(bucket)} cannot be a bucket: write ${scheme}://BUCKET/KEY`,
    )
  }
  return { bucket, key: slash === -1 ? '' : decoded(text, rest.slice(slash + 1)) }
}

const containerPattern = /^(?:\$root|\$web|[a-z0-9][a-z0-9-]{1,62})$/

/** `host/container/blob`, or as Hadoop writes it: `container@account.blob.core.windows.net/blob`. */
function parseContainer(
  text: string,
  rest: string,
): { readonly bucket: string; readonly key: string; readonly account?: string } {
  const [authority = '', ...names] = rest.split('/')
  const at = authority.indexOf('@')
  const bucket = decoded(text, (at === -1 ? names.shift() : authority.slice(0, at)) ?? '')
  if (!containerPattern.test(bucket)) {
    throw malformed(
      text,
      `${JSON.stringify(bucket)} cannot be a container: write as://HOST/CONTAINER/BLOB or wasb://CONTAINER@ACCOUNT.blob.core.windows.net/BLOB`,
    )
  }
  const key = decoded(text, names.join('/'))
  const account = /^([a-z0-9]{3,24})\.blob\.core\./.exec(authority.slice(at + 1))?.[1]
  return account === undefined ? { bucket, key } : { bucket, key, account }
}

const pfsForm = 'pfs put-file path must be of form repo/commit[/path/to/file] got:'

function parsePfs(text: string, rest: string): PfsUrl {
  const slash = rest.indexOf('/')
  const authority = slash === -1 ? rest : rest.slice(0, slash)
  const path = slash === -1 ? '' : rest.slice(slash)
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(authority)
  const host = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? pachdPort : Number(match[3])
  if (host === undefined || port === 0 || port > portMax) {
    throw malformed(
      text,
      `${JSON.stringify(authority)} is no address: write pfs://HOST:PORT/REPO/COMMIT/PATH`,
    )
  }
  const [repo = '', commit = '', ...names] = path
    .split('/')
    .filter((name) => name !== '')
    .map((name) => decoded(text, name))
  if (repo === '' || commit === '') throw new InvalidArgumentError(`${pfsForm} ${path}`)
  return { kind: 'pfs', host, port, repo, commit, path: names }
}

function decoded(text: string, part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw malformed(
      text,
      `${JSON.stringify(part)} has a % that is not followed by two hex digits of UTF-8; for the sign itself write %25`,
    )
  }
}

/**
 * The path that a source has of its own: a URL's path, without the repo and commit of a PFS, and
 * without slashes around it; empty for a root.
 */
export function ownSourceName(source: SourceUrl): string {
  switch (source.kind) {
    case 'http':
      return trimSlashes(decodedOr(source.url.pathname))
    case 'pfs':
      return source.path.join('/')
    default:
      return trimSlashes(source.key)
  }
}

function trimSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '')
}

/** URLs of the web may have any bytes. */
function decodedOr(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Whether an argument of a command would show a password to everybody on the machine. */
export function hasPassword(text: string): boolean {
  return schemePattern.test(text) && (URL.parse(text)?.password ?? '') !== ''
}

const shownLengthMax = 300

/** A URL as errors and logs may show it: without user, password, query (it may be signed) and fragment. */
export function shownSource(text: string): string {
  const bare = text
    .replace(/[?#].*$/s, (rest) => (rest.length > 1 ? `${rest.slice(0, 1)}…` : rest))
    .replace(/^([A-Za-z][A-Za-z0-9+.-]*:\/\/)[^/]*@/, (whole, scheme: string) =>
      /^wasbs?:/i.test(scheme) ? whole : `${scheme}…@`,
    )
  const visible = JSON.stringify(bare).slice(1, -1)
  return visible.length > shownLengthMax ? `${visible.slice(0, shownLengthMax)}…` : visible
}

/** Whether a name in a URL could be the number of a commit of 1.3. */
export function isCommitNumber(name: string | undefined): name is string {
  return name !== undefined && /^\d{1,9}$/.test(name)
}
