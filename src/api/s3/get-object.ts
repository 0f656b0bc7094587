import type { OutgoingHttpHeaders } from 'node:http'
import { baseName } from '../../base/paths.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import type { FileInfo } from '../../versioning/files.ts'
import { isRangeCurrent } from '../http/conditions.ts'
import { fileSecurityPolicy } from '../http/headers.ts'
import { mediaTypeOf } from '../http/media-types.ts'
import { parseRange } from '../http/ranges.ts'
import { dateText } from '../http/times.ts'
import type { S3Call } from './call.ts'
import { conditionsOf, outcomeOf, preconditionFailed } from './conditions.ts'
import { S3Error } from './errors.ts'
import { entityTag, findKey } from './names.ts'
import { changedAt, changedAtMs } from './times.ts'

/** As of the HTTP door: the chunks that are fetched ahead. */
const heldBytesMax = 6 * 1024 * 1024
const emptyDirectory = { hash: new Uint8Array(32), sizeBytes: 0 } as const

/** A file, or a directory by its name with a slash, which is empty. */
interface Found {
  readonly commit: CommitInfo
  /** Undefined for a directory. */
  readonly file: FileInfo | undefined
  readonly hash: Uint8Array
  readonly sizeBytes: number
}

/** @throws {S3Error} when nothing has that key. */
export async function findObject(call: S3Call, key: string): Promise<Found> {
  const commit = await call.commit()
  const { repo, id } = commit
  const place = findKey(key)
  if (place === undefined) throw noSuchKey(call, key)
  const { path, isDirectory } = place
  const info = await call.versioning.files.inspect({ repo, commit: id, path }, call.signal)
  if (isDirectory !== (info.entry.kind === 'directory')) throw noSuchKey(call, key)
  if (isDirectory) return { commit, file: undefined, ...emptyDirectory }
  return { commit, file: info, hash: info.hash, sizeBytes: info.sizeBytes }
}

export function noSuchKey(call: S3Call, key: string): S3Error {
  return new S3Error(
    'NoSuchKey',
    `there is no file ${JSON.stringify(key.slice(0, 200))} in ${call.target.bucket}`,
  )
}

/** GET and HEAD of an object, or of the range of it that was asked for. */
export async function getObject(call: S3Call, key: string): Promise<void> {
  const { headers, method } = call.exchange.request
  const found = await findObject(call, key)
  const { sizeBytes } = found
  const tag = entityTag(found.hash)
  const facts = { tag, changedAtMs: changedAtMs(found.commit) }
  const outcome = outcomeOf(conditionsOf(headers), facts)
  if (outcome === 'failed') throw preconditionFailed()
  const validators = { etag: tag, 'last-modified': dateText(changedAt(found.commit)) }
  if (outcome === 'not modified') {
    call.answer(304, validators)
    return
  }
  const about: OutgoingHttpHeaders = {
    ...call.headers,
    ...validators,
    'accept-ranges': 'bytes',
    'content-type': await typeOf(found),
    'content-security-policy': fileSecurityPolicy,
    'x-pachyderm-commit': found.commit.id,
    ...overrides(call),
  }
  requireFirstPart(call)
  const asked = isRangeCurrent(headers, tag) ? headers.range : undefined
  const range = parseRange(asked, sizeBytes)
  if (range.kind === 'unsatisfiable') {
    throw new S3Error(
      'InvalidRange',
      `the range asks for nothing that is there: the file has ${sizeBytes} bytes`,
      { headers: { 'content-range': `bytes */${sizeBytes}` } },
    )
  }
  // Of several ranges S3 serves none, but all there is.
  const [start, end] = range.kind === 'part' ? [range.start, range.end] : [0, sizeBytes]
  const length = end - start
  const isPart = range.kind === 'part'
  const size = {
    'content-length': length,
    ...(isPart && { 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` }),
  }
  const status = isPart ? 206 : 200
  const { file } = found
  if (file === undefined || length === 0 || method === 'HEAD') {
    call.exchange.answer(status, { ...about, ...size })
    return
  }
  const { signal } = call
  const bytes = call.versioning.files.bytesOf(file, { offset: start, length, signal })
  await call.exchange.stream(
    status,
    { ...about, ...size },
    { bytes, heldBytes: Math.min(length, heldBytesMax) },
  )
}

async function typeOf({ file }: Found): Promise<string> {
  return file === undefined ? 'application/x-directory' : mediaTypeOf(baseName(file.path))
}

/** A file is one part, however it came. */
function requireFirstPart({ query }: S3Call): void {
  const part = query.count('partNumber')
  if (part === undefined || part === 1) return
  throw new S3Error('InvalidPartNumber', `there is no part ${part}: a file is one part here`)
}

const overridden = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
] as const

/** Headers that a URL asks for, as it is handed on to browsers. */
function overrides({ query }: S3Call): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {}
  for (const name of overridden) {
    const value = query.get(`response-${name}`)
    if (value === undefined) continue
    if (!/^[\u0020-\u007e\t]*$/.test(value)) {
      throw new S3Error('InvalidArgument', `response-${name} is no value of a header`)
    }
    headers[name] = value
  }
  return headers
}
