import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { concatBytes, utf8 } from '../../base/bytes.ts'
import { ChunkedBody } from './chunked-body.ts'
import { S3Error } from './errors.ts'
import { checkSignature, type Signed } from './signatures.ts'
import { parseS3Target } from './target.ts'

// The examples of "Signature Calculations for the Authorization Header" and its neighbours, in the API
// reference of Amazon S3.
const keys = {
  accessKey: 'AKIAIOSFODNN7EXAMPLE',
  secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
}
const signedAt = Date.parse('2013-05-24T00:00:00Z') * 1000
const scope = '20130524/us-east-1/s3/aws4_request'
const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const minute = 60_000_000

interface Sent {
  readonly method?: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly signature?: string
}

function check({ method = 'GET', url, headers, signature }: Sent, now = signedAt): Signed {
  const sent: Record<string, string> = { ...headers }
  if (signature !== undefined) {
    const signed = Object.keys(headers).toSorted().join(';')
    sent['authorization'] =
      `AWS4-HMAC-SHA256 Credential=${keys.accessKey}/${scope},SignedHeaders=${signed},Signature=${signature}`
  }
  const rawHeaders = Object.entries(sent).flat()
  const request = { method, url, headers: sent, rawHeaders } as unknown as IncomingMessage
  return checkSignature(request, parseS3Target(url, undefined, undefined), { keys, now })
}

const get = {
  url: '/test.txt',
  headers: {
    host: 'examplebucket.s3.amazonaws.com',
    range: 'bytes=0-9',
    'x-amz-content-sha256': emptyHash,
    'x-amz-date': '20130524T000000Z',
  },
  signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
}
const put = {
  method: 'PUT',
  url: '/test$file.text',
  headers: {
    host: 'examplebucket.s3.amazonaws.com',
    date: 'Fri, 24 May 2013 00:00:00 GMT',
    'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    'x-amz-date': '20130524T000000Z',
    'x-amz-storage-class': 'REDUCED_REDUNDANCY',
  },
  signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
}
const { range: _, ...listHeaders } = get.headers
const list = {
  url: '/?max-keys=2&prefix=J',
  headers: listHeaders,
  signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
}
const presigned = {
  url: `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(`${keys.accessKey}/${scope}`)}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404`,
  headers: { host: 'examplebucket.s3.amazonaws.com' },
}
const chunked = {
  method: 'PUT',
  url: '/examplebucket/chunkObject.txt',
  headers: {
    'content-encoding': 'aws-chunked',
    'content-length': '66824',
    host: 's3.amazonaws.com',
    'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'x-amz-date': '20130524T000000Z',
    'x-amz-decoded-content-length': '66560',
    'x-amz-storage-class': 'REDUCED_REDUNDANCY',
  },
  signature: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
}

function codeOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
  return 'none'
}

test('the signatures of S3’s own examples are right', () => {
  for (const sent of [get, put, list, presigned, chunked]) check(sent)
  expect(check(presigned).payload).toBe('UNSIGNED-PAYLOAD')
})

test('a signature of anything else is not', () => {
  for (const [what, wrong] of Object.entries({
    method: { ...get, method: 'HEAD' },
    path: { ...get, url: '/test.txt2' },
    query: { ...list, url: '/?max-keys=3&prefix=J' },
    'more of a query': { ...list, url: '/?max-keys=2&prefix=J&x' },
    header: { ...get, headers: { ...get.headers, range: 'bytes=0-8' } },
    body: { ...get, headers: { ...get.headers, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } },
    signature: { ...get, signature: get.signature.replace('f', 'e') },
    'no signature': { ...get, signature: '' },
    expiry: { ...presigned, url: presigned.url.replace('86400', '86401') },
  })) {
    expect([what, codeOf(() => check(wrong))]).toEqual([what, 'SignatureDoesNotMatch'])
  }
})

test('a header of S3 that was added to what is signed is refused', () => {
  const copy = { 'x-amz-copy-source': '/secret/key' }
  const added = { ...presigned, headers: { ...presigned.headers, ...copy } }
  expect(codeOf(() => check(added))).toBe('AccessDenied')
  const plain = { ...presigned, headers: { ...presigned.headers, accept: '*/*' } }
  expect(codeOf(() => check(plain))).toBe('none')
})

test('what is too old, too new, malformed or of others is refused as what it is', () => {
  expect(codeOf(() => check(get, signedAt + 14 * minute))).toBe('none')
  expect(codeOf(() => check(get, signedAt + 16 * minute))).toBe('RequestTimeTooSkewed')
  expect(codeOf(() => check(get, signedAt - 16 * minute))).toBe('RequestTimeTooSkewed')
  expect(codeOf(() => check(presigned, signedAt + 23 * 60 * minute))).toBe('none')
  expect(codeOf(() => check(presigned, signedAt + 25 * 60 * minute))).toBe('AccessDenied')
  const week = { ...presigned, url: presigned.url.replace('86400', '604801') }
  expect(codeOf(() => check(week))).toBe('AuthorizationQueryParametersError')
  expect(codeOf(() => check({ url: '/', headers: {} }))).toBe('AccessDenied')
  for (const authorization of ['AWS a:b', 'AWS4-HMAC-SHA256', 'Bearer x', '']) {
    const headers = { ...get.headers, authorization }
    expect(codeOf(() => check({ url: '/', headers }))).toBe('AuthorizationHeaderMalformed')
  }
  const other = { ...presigned, url: presigned.url.replace(keys.accessKey, 'OTHER') }
  expect(codeOf(() => check(other))).toBe('InvalidAccessKeyId')
  const undated = { ...get, headers: { ...get.headers, 'x-amz-date': 'yesterday' } }
  expect(codeOf(() => check(undated))).toBe('AccessDenied')
})

const chunkSignatures: readonly string[] = [
  'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
  '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
  'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
]

function chunkedBody(signatures: readonly string[], first = 'a'.repeat(65_536)): Uint8Array {
  return utf8(
    [
      `10000;chunk-signature=${signatures[0]}\r\n${first}\r\n`,
      `400;chunk-signature=${signatures[1]}\r\n${'a'.repeat(1024)}\r\n`,
      `0;chunk-signature=${signatures[2]}\r\n\r\n`,
    ].join(''),
  )
}

/** What is in a body that comes in pieces of a size. */
async function decode(
  bytes: Uint8Array,
  {
    chain,
    pieceBytes = 1000,
    hasTrailers = false,
  }: { chain?: Signed['chain']; pieceBytes?: number; hasTrailers?: boolean },
): Promise<{ readonly bytes: Uint8Array; readonly trailers: ReadonlyMap<string, string> }> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.slice(at, at + pieceBytes)
  }
  const isSigned = chain !== undefined
  const body = new ChunkedBody(pieces(), { chain, isSigned, hasTrailers })
  const parts: Uint8Array[] = []
  for await (const part of body.bytes()) parts.push(part.slice())
  return { bytes: concatBytes(parts), trailers: body.trailers }
}

test('the signed chunks of S3’s own example are right, however they come, and others are not', async () => {
  const { chain } = check(chunked)
  for (const pieceBytes of [1, 7, 1000, 100_000]) {
    const { bytes } = await decode(chunkedBody(chunkSignatures), { chain, pieceBytes })
    expect([bytes.length, bytes.every((byte) => byte === 0x61)]).toEqual([66_560, true])
  }
  const refused = { code: 'SignatureDoesNotMatch' }
  const changed = `b${'a'.repeat(65_535)}`
  await expect(decode(chunkedBody(chunkSignatures, changed), { chain })).rejects.toMatchObject(
    refused,
  )
  for (const [index] of chunkSignatures.entries()) {
    const signatures = chunkSignatures.with(index, 'e'.repeat(64))
    await expect(decode(chunkedBody(signatures), { chain })).rejects.toMatchObject(refused)
  }
  await expect(decode(utf8('1\r\na\r\n0\r\n\r\n'), { chain })).rejects.toMatchObject(refused)
})

test('unsigned chunks come with trailers, and what is malformed is refused', async () => {
  const text = '5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-amz-checksum-crc32: DUoRhQ==\r\n\r\n'
  for (const pieceBytes of [1, 3, 1000]) {
    const { bytes, trailers } = await decode(utf8(text), { hasTrailers: true, pieceBytes })
    expect(Buffer.from(bytes).toString()).toBe('hello world')
    expect(trailers.get('x-amz-checksum-crc32')).toBe('DUoRhQ==')
  }
  for (const [wrong, code] of [
    ['', 'IncompleteBody'],
    ['5\r\nhel', 'IncompleteBody'],
    ['5\r\nhello\r\n', 'IncompleteBody'],
    ['hello', 'IncompleteBody'],
    ['hello\n', 'InvalidRequest'],
    ['-1\r\n', 'InvalidRequest'],
    ['ffffffffffffff\r\n', 'InvalidRequest'],
    ['5\r\nhello!\r\n0\r\n\r\n', 'InvalidRequest'],
    ['0\r\n\r\nmore', 'InvalidRequest'],
    ['0\r\nnot a trailer\r\n\r\n', 'InvalidRequest'],
    [`0\r\n${'a:b\r\n'.repeat(20)}\r\n`, 'InvalidRequest'],
    [`${'0'.repeat(5000)}\r\n`, 'InvalidRequest'],
  ] as const) {
    const refused: unknown = await decode(utf8(wrong), { hasTrailers: true }).catch(
      (error: unknown) => (error instanceof S3Error ? error.code : error),
    )
    expect([wrong.slice(0, 50), refused]).toEqual([wrong.slice(0, 50), code])
  }
  await expect(decode(utf8('0\r\na:b\r\n\r\n'), {})).rejects.toMatchObject({
    code: 'InvalidRequest',
  })
})
