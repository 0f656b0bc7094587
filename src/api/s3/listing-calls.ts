import { compareKeys, type ListedKey } from '../../versioning/key-listing.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import { isCommitId } from '../../base/names.ts'
import type { S3Call } from './call.ts'
import { S3Error } from './errors.ts'
import { entityTag } from './names.ts'
import { changedAt, iso } from './times.ts'
import { urlEncoded, type XmlContent } from './xml-text.ts'

const keysMax = 1000
const emptyHash = new Uint8Array(32)

interface Page {
  readonly prefix: string
  readonly delimiter: string
  readonly countMax: number
  readonly after: string | undefined
}

interface Listed {
  readonly files: readonly Exclude<ListedKey, { readonly kind: 'prefix' }>[]
  readonly prefixes: readonly string[]
  /** The last key or prefix, when there is more behind it. */
  readonly last: string | undefined
}

/** The first version: pages go on from a marker, in whatever commit the branch has by then. */
export async function listObjects(call: S3Call): Promise<void> {
  const { query, target } = call
  const commit = await call.commit()
  const marker = query.get('marker') ?? ''
  const page = pageOf(call, marker === '' ? undefined : marker)
  const listed = await list(call, commit, page)
  const shown = encoder(call)
  call.answerXml('ListBucketResult', {
    Name: target.bucket,
    Prefix: shown(page.prefix),
    Marker: shown(marker),
    ...(listed.last !== undefined && { NextMarker: shown(listed.last) }),
    ...contentsOf(call, commit, page, listed),
  })
}

/**
 * The second version. A token names the commit, too, so that all pages of a listing are of one, whatever
 * becomes of the branch meanwhile.
 */
export async function listObjectsV2(call: S3Call): Promise<void> {
  const { query, target } = call
  const token = query.get('continuation-token')
  const startAfter = query.get('start-after') ?? ''
  const place = token === undefined ? undefined : parseToken(token)
  const commit =
    place === undefined
      ? await call.commit()
      : await call.versioning.commits.inspect(call.place.repo, place.commit)
  const page = pageOf(call, place?.after ?? (startAfter === '' ? undefined : startAfter))
  const listed = await list(call, commit, page)
  const shown = encoder(call)
  const next = listed.last
  call.answerXml('ListBucketResult', {
    Name: target.bucket,
    Prefix: shown(page.prefix),
    ...(token !== undefined && { ContinuationToken: token }),
    ...(startAfter !== '' && { StartAfter: shown(startAfter) }),
    ...(next !== undefined && { NextContinuationToken: tokenOf(commit.id, next) }),
    KeyCount: listed.files.length + listed.prefixes.length,
    ...contentsOf(call, commit, page, listed),
  })
}

function pageOf({ query }: S3Call, after: string | undefined): Page {
  const encoding = query.get('encoding-type')
  if (encoding !== undefined && encoding !== 'url') {
    throw new S3Error('InvalidArgument', `encoding-type ${encoding} is not known: only url is`)
  }
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    countMax: Math.min(query.count('max-keys') ?? keysMax, keysMax),
    after,
  }
}

function encoder({ query }: S3Call): (text: string) => string {
  return query.get('encoding-type') === 'url' ? urlEncoded : (text) => text
}

function contentsOf(
  call: S3Call,
  commit: CommitInfo,
  page: Page,
  { files, prefixes, last }: Listed,
): { readonly [name: string]: XmlContent | readonly XmlContent[] } {
  const shown = encoder(call)
  const changed = iso(changedAt(commit))
  const encoding = call.query.get('encoding-type')
  return {
    ...(page.delimiter !== '' && { Delimiter: shown(page.delimiter) }),
    MaxKeys: page.countMax,
    ...(encoding !== undefined && { EncodingType: encoding }),
    IsTruncated: last !== undefined,
    Contents: files.map((file) => ({
      Key: shown(file.key),
      LastModified: changed,
      ETag: entityTag(file.kind === 'file' ? file.hash : emptyHash),
      Size: file.kind === 'file' ? file.sizeBytes : 0,
      StorageClass: 'STANDARD',
    })),
    CommonPrefixes: prefixes.map((prefix) => ({ Prefix: shown(prefix) })),
  }
}

async function list(call: S3Call, commit: CommitInfo, page: Page): Promise<Listed> {
  const { prefix, delimiter, countMax, after } = page
  const files: Exclude<ListedKey, { readonly kind: 'prefix' }>[] = []
  const prefixes: string[] = []
  let last: string | undefined
  if (countMax === 0) return { files, prefixes, last }
  const place = { repo: commit.repo, commit: commit.id }
  const selection = { prefix, after, isShallow: delimiter === '/' }
  for await (const found of call.versioning.keys.list(place, selection, call.signal)) {
    const rolled = found.kind === 'prefix' ? found.key : rolledUp(found.key, prefix, delimiter)
    if (rolled !== undefined) {
      const isBehind = after === undefined || compareKeys(rolled, after) > 0
      if (rolled === prefixes.at(-1) || !isBehind) continue
    }
    if (files.length + prefixes.length === countMax) return { files, prefixes, last }
    if (rolled !== undefined) prefixes.push(rolled)
    else if (found.kind !== 'prefix') files.push(found)
    last = rolled ?? found.key
  }
  return { files, prefixes, last: undefined }
}

/** The key up to the delimiter, if it has that behind the prefix. */
function rolledUp(key: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === '') return undefined
  const at = key.indexOf(delimiter, prefix.length)
  return at === -1 ? undefined : key.slice(0, at + delimiter.length)
}

function tokenOf(commit: string, after: string): string {
  return Buffer.from(JSON.stringify([commit, after])).toString('base64url')
}

function parseToken(token: string): { readonly commit: string; readonly after: string } {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, 'base64url').toString())
    const [commit, after] = Array.isArray(parsed) ? (parsed as unknown[]) : []
    if (typeof commit === 'string' && isCommitId(commit) && typeof after === 'string') {
      return { commit, after }
    }
  } catch {
    // It is refused below.
  }
  throw new S3Error('InvalidArgument', 'the continuation token is none of this server: list anew')
}
