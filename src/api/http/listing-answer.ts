import type { OutgoingHttpHeaders } from 'node:http'
import { InvalidArgumentError } from '../../base/errors.ts'
import { evaluateConditions } from './conditions.ts'
import type { Exchange } from './exchange.ts'
import { RequestError } from './failures.ts'
import { batchedText, jsonTexts, type Listing } from './listings.ts'
import { pageHeaders, pageTexts } from './pages.ts'

/** Changes when a listing of the same directory begins to look, or to read, otherwise. */
const formatVersion = 1
const jsonHeaders = { 'content-type': 'application/json' } as const
/** Rows are made as they are taken. */
const heldBytes = 128 * 1024

/** How a list is told. */
export type ListingFormat = 'html' | 'json'

/**
 * What the URL asks for, or else what the caller would rather have: a page only for those who say so,
 * as browsers do.
 *
 * @throws {InvalidArgumentError} for a format that there is not.
 */
export function listingFormat(exchange: Exchange, query: URLSearchParams): ListingFormat {
  const asked = query.get('format')
  if (asked === 'html' || asked === 'json') return asked
  if (asked !== null) {
    throw new InvalidArgumentError(`format=${asked} in the URL is none: write html or json`)
  }
  return prefersPage(exchange.request.headers.accept) ? 'html' : 'json'
}

/** By an `Accept` header. */
export function prefersPage(accept: string | undefined): boolean {
  const page = qualityOf(accept, 'text/html')
  return page > 0 && page >= qualityOf(accept, 'application/json')
}

/** What the header says of exactly this type; 0 when it does not say. */
function qualityOf(accept: string | undefined, type: string): number {
  for (const range of (accept ?? '').split(',')) {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    if (name !== type) continue
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1'
    return Number(quality) || 0
  }
  return 0
}

/**
 * Answers with a listing, row by row. `state` names what it shows, when that is known: callers who have
 * it already are told so.
 */
export async function answerListing(
  exchange: Exchange,
  listing: Listing,
  options: {
    readonly format: ListingFormat
    readonly state?: string
    readonly headers?: OutgoingHttpHeaders
  },
): Promise<void> {
  const { format, state } = options
  const etag = state === undefined ? undefined : `"${state}-${format}${formatVersion}"`
  const validators = { vary: 'accept', ...options.headers, ...(etag !== undefined && { etag }) }
  if (etag !== undefined) {
    const outcome = evaluateConditions(exchange.request.headers, etag)
    if (outcome === 'failed') {
      throw new RequestError(412, 'failed-precondition', 'the list is not the one in If-Match')
    }
    if (outcome === 'not modified') {
      exchange.answer(304, validators)
      return
    }
  }
  const about = format === 'html' ? pageHeaders : jsonHeaders
  const texts = format === 'html' ? pageTexts(listing) : jsonTexts(listing)
  const body = { bytes: batchedText(texts), heldBytes }
  await exchange.stream(200, { ...about, ...validators }, body)
}
