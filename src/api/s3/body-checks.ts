import type { IncomingHttpHeaders } from 'node:http'
import { type ChecksumName, checksumNames, type Digest, startDigest } from './checksums.ts'
import { S3Error } from './errors.ts'

interface Check {
  readonly digest: Digest
  /** Undefined until the trailers have come. */
  expected: Buffer | undefined
  readonly header: string
  readonly code: 'BadDigest' | 'XAmzContentSHA256Mismatch'
}

const checksumHeader = 'x-amz-checksum-'
const digestBytes: Readonly<Record<ChecksumName, number>> = {
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
  sha1: 20,
  sha256: 32,
}

/** Compares what comes with what the headers and trailers of a request say of it. */
export class BodyChecks {
  readonly #checks: Check[] = []
  readonly #verified: Record<string, string> = {}

  /** @throws {S3Error} for digests that are none. */
  constructor(headers: IncomingHttpHeaders, signedHash: string | undefined) {
    const md5 = headers['content-md5']
    if (typeof md5 === 'string')
      this.#expect('md5', 'content-md5', parseDigest('content-md5', md5, 16))
    if (signedHash !== undefined) {
      this.#checks.push({
        digest: startDigest('sha256'),
        expected: Buffer.from(signedHash, 'hex'),
        header: 'x-amz-content-sha256',
        code: 'XAmzContentSHA256Mismatch',
      })
    }
    const trailers = String(headers['x-amz-trailer'] ?? '')
      .split(',')
      .map((name) => name.trim().toLowerCase())
    for (const name of checksumNames) {
      const header = `${checksumHeader}${name}`
      const value = headers[header]
      if (typeof value === 'string') {
        this.#expect(name, header, parseDigest(header, value, digestBytes[name]))
      } else if (trailers.includes(header)) this.#expect(name, header, undefined)
    }
  }

  get isEmpty(): boolean {
    return this.#checks.length === 0
  }

  /** The checksums that were right, to answer with. */
  get verified(): Readonly<Record<string, string>> {
    return this.#verified
  }

  update(bytes: Uint8Array): void {
    for (const { digest } of this.#checks) digest.update(bytes)
  }

  /** @throws {S3Error} when something else has come, or a trailer that was announced has not. */
  end(trailers: ReadonlyMap<string, string>): void {
    for (const { digest, expected, header, code } of this.#checks) {
      const wanted = expected ?? trailerDigest(header, trailers)
      const found = digest.end()
      if (!found.equals(wanted)) {
        throw new S3Error(
          code,
          `the body is not what ${header} says of it (${wanted.toString('base64')} there, ${found.toString('base64')} came), and nothing was stored: send it again`,
        )
      }
      if (header.startsWith(checksumHeader)) this.#verified[header] = found.toString('base64')
    }
  }

  #expect(name: ChecksumName | 'md5', header: string, expected: Buffer | undefined): void {
    this.#checks.push({ digest: startDigest(name), expected, header, code: 'BadDigest' })
  }
}

function trailerDigest(header: string, trailers: ReadonlyMap<string, string>): Buffer {
  const value = trailers.get(header)
  if (value === undefined) {
    throw new S3Error('InvalidRequest', `trailer ${header} was announced and has not come`)
  }
  return parseDigest(
    header,
    value,
    digestBytes[header.slice(checksumHeader.length) as ChecksumName],
  )
}

function parseDigest(header: string, value: string, bytesCount: number): Buffer {
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length === bytesCount && bytes.toString('base64') === value) return bytes
  throw new S3Error(
    'InvalidDigest',
    `${header}: ${JSON.stringify(value.slice(0, 100))} is not ${bytesCount} bytes in base64`,
  )
}
