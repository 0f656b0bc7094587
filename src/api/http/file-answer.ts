import type { OutgoingHttpHeaders } from 'node:http'
import { hexText } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { baseName } from '../../base/paths.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import type { FileInfo } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import { evaluateConditions, isRangeCurrent } from './conditions.ts'
import type { Exchange } from './exchange.ts'
import { RequestError } from './failures.ts'
import { contentDisposition, fileSecurityPolicy } from './headers.ts'
import { mediaTypeOf } from './media-types.ts'
import { parseRange } from './ranges.ts'
import { dateText } from './times.ts'

/** A file that is read holds so much: the chunks that are fetched ahead, most of them near 1 MiB. */
const heldBytesMax = 6 * 1024 * 1024

/** A file, or the range of it that was asked for. */
export async function answerFile(
  exchange: Exchange,
  versioning: Versioning,
  file: {
    readonly commit: CommitInfo
    readonly info: FileInfo
    readonly query: URLSearchParams
  },
): Promise<void> {
  const { commit, info, query } = file
  const { headers, method } = exchange.request
  const { sizeBytes } = info
  const etag = `"${hexText(info.hash)}"`
  const outcome = evaluateConditions(headers, etag)
  if (outcome === 'failed') {
    throw new RequestError(412, 'failed-precondition', 'the file is not the one in If-Match')
  }
  const validators = { etag, ...lastModified(commit) }
  if (outcome === 'not modified') {
    exchange.answer(304, validators)
    return
  }
  const name = baseName(info.path)
  const about: OutgoingHttpHeaders = {
    ...validators,
    'accept-ranges': 'bytes',
    'content-type': await mediaTypeOf(name),
    'content-disposition': contentDisposition(isInline(query) ? 'inline' : 'attachment', name),
    'content-security-policy': fileSecurityPolicy,
  }
  const asked = method === 'GET' && isRangeCurrent(headers, etag) ? headers.range : undefined
  const range = parseRange(asked, sizeBytes)
  const [start, end] = range.kind === 'part' ? [range.start, range.end] : [0, sizeBytes]
  if (range.kind === 'unsatisfiable' || range.kind === 'several') {
    throw rangeError(range.kind, sizeBytes)
  }
  const length = end - start
  const { signal } = exchange
  const bytes = versioning.files.bytesOf(info, { offset: start, length, signal })
  const more =
    range.kind === 'part' ? { 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` } : {}
  await exchange.stream(
    range.kind === 'part' ? 206 : 200,
    { ...about, ...more, 'content-length': length },
    { bytes, heldBytes: Math.min(length, heldBytesMax) },
  )
}

/** When the commit finished: no promise that the file changed then. */
export function lastModified({ state }: CommitInfo): OutgoingHttpHeaders {
  return state.kind === 'finished' ? { 'last-modified': dateText(state.finishedAt) } : {}
}

/** As in 1.5, a file is stored by a browser unless the URL says otherwise. */
function isInline(query: URLSearchParams): boolean {
  const download = query.get('download')
  switch (download) {
    case null:
    case '':
    case 'true':
    case '1':
      return false
    case 'false':
    case '0':
      return true
    default:
      throw new InvalidArgumentError(
        `download=${download} in the URL makes no sense: write true or false`,
      )
  }
}

function rangeError(kind: 'unsatisfiable' | 'several', sizeBytes: number): RequestError {
  const text =
    kind === 'several'
      ? 'several ranges in one request are not served: ask for one, or make a request for each'
      : `the range asks for nothing that is there: the file has ${sizeBytes} bytes`
  return new RequestError(416, 'invalid-argument', text, {
    'content-range': `bytes */${sizeBytes}`,
  })
}
