import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Instant } from '../../base/clock.ts'
import { S3Error } from './errors.ts'
import type { S3Target } from './target.ts'
import { strictlyEncoded } from './xml-text.ts'

/** What callers sign with. */
export interface S3Keys {
  readonly accessKey: string
  readonly secretKey: string
}

/** Signs what comes after the headers. */
export interface ChainSigner {
  readonly seed: string
  /** The signature of a chunk, or of the trailers, that follows one with the signature `before`. */
  sign(kind: 'PAYLOAD' | 'TRAILER', before: string, hash: string): string
}

/** Whom a request is from, and what it says of its body. */
export interface Signed {
  /** As `x-amz-content-sha256` has it. */
  readonly payload: string
  /** For bodies whose chunks are signed; undefined where nothing is checked. */
  readonly chain: ChainSigner | undefined
}

interface Credential {
  readonly accessKey: string
  /** `20130524/us-east-1/s3/aws4_request`. */
  readonly scope: string
  readonly day: string
  readonly region: string
}

interface Claim {
  readonly credential: Credential
  readonly signedHeaders: readonly string[]
  readonly signature: string
  /** `20130524T000000Z`. */
  readonly time: string
  readonly payload: string
  readonly isPresigned: boolean
}

const algorithm = 'AWS4-HMAC-SHA256'
const unsignedPayload = 'UNSIGNED-PAYLOAD'
export const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const microsPerSecond = 1_000_000
const skewSecondsMax = 15 * 60
const expirySecondsMax = 7 * 24 * 3600
const signedHeadersMax = 100

/**
 * Who is asking, by signature version 4, in a header or in the URL. Without keys, anybody is let in,
 * whatever the signature.
 *
 * @throws {S3Error}
 */
export function checkSignature(
  request: IncomingMessage,
  target: S3Target,
  { keys, now }: { readonly keys: S3Keys | undefined; readonly now: Instant },
): Signed {
  if (keys === undefined) {
    refusePages(request)
    const payload = header(request, 'x-amz-content-sha256') ?? unsignedPayload
    return { payload, chain: undefined }
  }
  const claim = claimOf(request, target)
  requireInTime(claim, target, now)
  if (claim.credential.accessKey !== keys.accessKey) {
    throw new S3Error(
      'InvalidAccessKeyId',
      'the access key is not the one that this server was started with (PACHD_S3_ACCESS_KEY)',
    )
  }
  const key = signingKey(keys.secretKey, claim.credential)
  const canonical = canonicalRequest(request, target, claim)
  const text = [algorithm, claim.time, claim.credential.scope, sha256(canonical)].join('\n')
  if (!isSame(hmac(key, text).toString('hex'), claim.signature)) {
    throw new S3Error(
      'SignatureDoesNotMatch',
      'the signature is not that of this request with the secret key of this server: check the secret key, and that nothing on the way changes the host, the path or headers that are signed',
    )
  }
  const { time, credential, signature, payload } = claim
  const sign: ChainSigner['sign'] = (kind, before, hash) => {
    const parts = [`${algorithm}-${kind}`, time, credential.scope, before]
    const hashes = kind === 'PAYLOAD' ? [emptyHash, hash] : [hash]
    return hmac(key, [...parts, ...hashes].join('\n')).toString('hex')
  }
  return { payload, chain: { seed: signature, sign } }
}

/**
 * A page of anywhere that a browser on this machine shows may have it send such requests. None of
 * the programs that speak S3 says where a page is from.
 */
function refusePages({ method, headers }: IncomingMessage): void {
  if (method === 'GET' || method === 'HEAD' || headers.origin === undefined) return
  throw new S3Error(
    'AccessDenied',
    'a web page asks for a change (header Origin), which takes keys: start pachd with PACHD_S3_ACCESS_KEY and PACHD_S3_SECRET_KEY',
  )
}

/** In equal time wherever they differ. */
export function isSame(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

function claimOf(request: IncomingMessage, target: S3Target): Claim {
  const authorization = request.headers.authorization
  if (authorization !== undefined) return headerClaim(request, authorization)
  if (target.query.has('X-Amz-Signature')) return presignedClaim(request, target)
  if (target.query.has('Signature')) throw otherAlgorithm('AuthorizationQueryParametersError')
  throw new S3Error(
    'AccessDenied',
    'the request is not signed, and this server takes those only that are signed with its access key',
  )
}

function headerClaim(request: IncomingMessage, authorization: string): Claim {
  if (!authorization.startsWith(`${algorithm} `)) {
    throw otherAlgorithm('AuthorizationHeaderMalformed')
  }
  const fields = new Map(
    authorization
      .slice(algorithm.length)
      .split(',')
      .map((field) => {
        const [name = '', ...value] = field.trim().split('=')
        return [name, value.join('=')] as const
      }),
  )
  const payload = header(request, 'x-amz-content-sha256')
  if (payload === undefined) {
    throw new S3Error(
      'InvalidRequest',
      'header x-amz-content-sha256 is missing: say what is signed',
    )
  }
  return {
    credential: parseCredential(fields.get('Credential'), 'AuthorizationHeaderMalformed'),
    signedHeaders: (fields.get('SignedHeaders') ?? '').split(';'),
    signature: fields.get('Signature') ?? '',
    time: header(request, 'x-amz-date') ?? amzTimeOf(request.headers.date),
    payload,
    isPresigned: false,
  }
}

function presignedClaim(request: IncomingMessage, { query }: S3Target): Claim {
  if (query.get('X-Amz-Algorithm') !== algorithm) {
    throw otherAlgorithm('AuthorizationQueryParametersError')
  }
  return {
    credential: parseCredential(query.get('X-Amz-Credential'), 'AuthorizationQueryParametersError'),
    signedHeaders: (query.get('X-Amz-SignedHeaders') ?? '').split(';'),
    signature: query.get('X-Amz-Signature') ?? '',
    time: query.get('X-Amz-Date') ?? '',
    payload:
      query.get('X-Amz-Content-Sha256') ??
      header(request, 'x-amz-content-sha256') ??
      unsignedPayload,
    isPresigned: true,
  }
}

function otherAlgorithm(
  code: 'AuthorizationHeaderMalformed' | 'AuthorizationQueryParametersError',
): S3Error {
  return new S3Error(
    code,
    `requests are signed with ${algorithm} (signature version 4) here, and this one is signed otherwise: URLs of s3cmd signurl are of version 2, as those of boto3 and the AWS CLI are that were not told signature_version s3v4; make them with that, or with rclone link`,
  )
}

function parseCredential(
  text: string | undefined,
  code: 'AuthorizationHeaderMalformed' | 'AuthorizationQueryParametersError',
): Credential {
  // The access key may have slashes itself.
  const match = /^(.+)\/(\d{8})\/([^/]+)\/s3\/aws4_request$/.exec(text ?? '')
  const [, accessKey, day, region] = match ?? []
  if (accessKey !== undefined && day !== undefined && region !== undefined) {
    return { accessKey, day, region, scope: `${day}/${region}/s3/aws4_request` }
  }
  throw new S3Error(
    code,
    'the credential makes no sense: it is ACCESS_KEY/YYYYMMDD/REGION/s3/aws4_request, with any region',
  )
}

function requireInTime(
  { time, isPresigned, credential }: Claim,
  target: S3Target,
  now: Instant,
): void {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time)
  const [, year, month, day, hours, minutes, seconds] = match ?? []
  const signedAt = Date.parse(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`) / 1000
  if (Number.isNaN(signedAt) || !time.startsWith(credential.day)) {
    throw new S3Error('AccessDenied', 'the time of the signature is missing or makes no sense')
  }
  const age = now / microsPerSecond - signedAt
  if (age < -skewSecondsMax || (!isPresigned && age > skewSecondsMax)) {
    throw new S3Error(
      'RequestTimeTooSkewed',
      `the request was signed ${Math.round(Math.abs(age))} seconds ${age < 0 ? 'in the future' : 'ago'}, by the clock of this server: at most ${skewSecondsMax} are allowed; check both clocks`,
    )
  }
  if (!isPresigned) return
  const expires = target.query.count('X-Amz-Expires') ?? 0
  if (expires < 1 || expires > expirySecondsMax) {
    throw new S3Error(
      'AuthorizationQueryParametersError',
      `X-Amz-Expires is to be 1 to ${expirySecondsMax} seconds`,
    )
  }
  if (age > expires) throw new S3Error('AccessDenied', 'the URL has expired: make a new one')
}

function canonicalRequest(
  request: IncomingMessage,
  { path, query }: S3Target,
  { signedHeaders, payload, isPresigned }: Claim,
): string {
  if (!signedHeaders.includes('host') || signedHeaders.length > signedHeadersMax) {
    throw new S3Error('AccessDenied', 'the host and at most 100 headers are to be signed')
  }
  const values = headerValues(request.rawHeaders)
  const headers = signedHeaders.map((name) => {
    const value = values.get(name)
    if (value === undefined) {
      throw new S3Error('AccessDenied', `header ${JSON.stringify(name)} is signed and has not come`)
    }
    return `${name}:${value}\n`
  })
  requireSigned(values, signedHeaders)
  const pairs = query.pairs
    .filter(([name]) => !(isPresigned && name === 'X-Amz-Signature'))
    .map(([name, value]) => [strictlyEncoded(name), strictlyEncoded(value)] as const)
    .toSorted(([a, x], [b, y]) => compareText(a, b) || compareText(x, y))
    .map(([name, value]) => `${name}=${value}`)
  return [
    request.method,
    canonicalPath(path),
    pairs.join('&'),
    headers.join(''),
    signedHeaders.join(';'),
    payload,
  ].join('\n')
}

/** Signed by being part of what is signed, wherever they stand. */
const signedAnyway = new Set(['x-amz-content-sha256', 'x-amz-date'])

/** Else whoever is handed a URL to put one file could have it be a copy of any other. */
function requireSigned(
  values: ReadonlyMap<string, string>,
  signedHeaders: readonly string[],
): void {
  for (const name of values.keys()) {
    if (!name.startsWith('x-amz-') || signedAnyway.has(name)) continue
    if (signedHeaders.includes(name)) continue
    throw new S3Error(
      'AccessDenied',
      `header ${name} has come and is not signed, as all x-amz- are to be`,
    )
  }
}

/** Clients escape more or less than they must; all sign the same. */
function canonicalPath(path: string): string {
  try {
    return path
      .split('/')
      .map((name) => strictlyEncoded(decodeURIComponent(name)))
      .join('/')
  } catch {
    return path // an escape that is no UTF-8, which the target was refused for
  }
}

function headerValues(raw: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? '').toLowerCase()
    const value = (raw[index + 1] ?? '').trim().replaceAll(/ +/g, ' ')
    const before = values.get(name)
    values.set(name, before === undefined ? value : `${before},${value}`)
  }
  return values
}

/** Both are ASCII. */
function compareText(left: string, right: string): number {
  if (left === right) return 0
  return left < right ? -1 : 1
}

function signingKey(secretKey: string, { day, region }: Credential): Buffer {
  let key = hmac(Buffer.from(`AWS4${secretKey}`), day)
  for (const text of [region, 's3', 'aws4_request']) key = hmac(key, text)
  return key
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

export function sha256(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' ? value : undefined
}

/** A `Date` header in the form of `x-amz-date`. */
function amzTimeOf(date: string | undefined): string {
  const at = new Date(date ?? '')
  if (Number.isNaN(at.getTime())) return ''
  return at.toISOString().replaceAll(/[-:]|\.\d+/g, '')
}
