import { createHash } from 'node:crypto'
import { type ByteStream, concatBytes, copyBytes } from '../../base/bytes.ts'
import { S3Error } from './errors.ts'
import { type ChainSigner, emptyHash, isSame, sha256 } from './signatures.ts'

/** `<size in hex>;chunk-signature=<64 hex digits>`, and room for what others may add. */
const lineBytesMax = 1024
const trailerCountMax = 16
/** A chunk is hashed as it comes, and held by nobody. */
const chunkBytesMax = 2 ** 40
const lineFeed = 0x0a

interface Options {
  /** Undefined where nothing is checked. */
  readonly chain: ChainSigner | undefined
  /** Chunks are signed, too, not only trailers announced. */
  readonly isSigned: boolean
  readonly hasTrailers: boolean
}

/**
 * What is in a body of the kind that S3 calls `aws-chunked`: chunks, each with its size and perhaps its
 * signature before it, and trailers, which are there when the bytes have come to an end.
 *
 * @throws {S3Error} for what is malformed, cut short, or not signed as it says.
 */
export class ChunkedBody {
  readonly trailers: Map<string, string> = new Map<string, string>()
  readonly #source: AsyncIterator<Uint8Array>
  readonly #options: Options
  #rest: Uint8Array = new Uint8Array(0)
  #before: string

  constructor(bytes: ByteStream, options: Options) {
    this.#source = bytes[Symbol.asyncIterator]()
    this.#options = options
    this.#before = options.chain?.seed ?? ''
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const { size, signature } = parseChunkLine(await this.#line())
        if (size === 0) {
          this.#check(signature, emptyHash)
          break
        }
        yield* this.#chunk(size, signature)
        if ((await this.#line()) !== '') throw malformed('a chunk is longer than it says')
      }
      await this.#readTrailers()
      if (this.#rest.length > 0 || (await this.#more()))
        throw malformed('there is more behind its end')
    } finally {
      await this.#source.return?.()
    }
  }

  async *#chunk(size: number, signature: string | undefined): AsyncGenerator<Uint8Array> {
    const isChecked = this.#options.chain !== undefined && this.#options.isSigned
    const hash = isChecked ? createHash('sha256') : undefined
    for (let left = size; left > 0;) {
      if (this.#rest.length === 0) await this.#requireMore()
      const piece = this.#rest.subarray(0, left)
      this.#rest = this.#rest.subarray(piece.length)
      left -= piece.length
      hash?.update(piece)
      yield piece
    }
    if (hash !== undefined) this.#check(signature, hash.digest('hex'))
  }

  #check(signature: string | undefined, hash: string): void {
    const { chain, isSigned } = this.#options
    if (chain === undefined || !isSigned) return
    this.#before = chain.sign('PAYLOAD', this.#before, hash)
    if (!isSame(this.#before, signature ?? '')) throw notSigned('a chunk of the body')
  }

  async #readTrailers(): Promise<void> {
    let signedText = ''
    let signature: string | undefined
    for (let count = 0; ; count += 1) {
      // Some end without the empty line.
      const line = this.#rest.length === 0 && !(await this.#more()) ? '' : await this.#line()
      if (line === '') break
      if (count === trailerCountMax || !this.#options.hasTrailers) {
        throw malformed('it has trailers that were not announced')
      }
      const match = /^([^:\s]+):\s*(.*?)\s*$/.exec(line)
      if (match === null) throw malformed('a trailer is none')
      const [, name = '', value = ''] = match
      if (name.toLowerCase() === 'x-amz-trailer-signature') {
        signature = value
        continue
      }
      this.trailers.set(name.toLowerCase(), value)
      signedText += `${name.toLowerCase()}:${value}\n`
    }
    const { chain, isSigned, hasTrailers } = this.#options
    if (chain === undefined || !isSigned || !hasTrailers) return
    const expected = chain.sign('TRAILER', this.#before, sha256(signedText))
    if (!isSame(expected, signature ?? '')) throw notSigned('the trailers of the body')
  }

  /** Up to a line feed, without it and a carriage return before it. */
  async #line(): Promise<string> {
    const parts: Uint8Array[] = []
    let size = 0
    for (;;) {
      if (this.#rest.length === 0) await this.#requireMore()
      const end = this.#rest.indexOf(lineFeed)
      const part = end === -1 ? this.#rest : this.#rest.subarray(0, end)
      size += part.length
      if (size > lineBytesMax) throw malformed(`a line is longer than ${lineBytesMax} bytes`)
      parts.push(copyBytes(part))
      this.#rest = this.#rest.subarray(end === -1 ? part.length : end + 1)
      if (end !== -1) return Buffer.from(concatBytes(parts)).toString('latin1').replace(/\r$/, '')
    }
  }

  async #requireMore(): Promise<void> {
    if (await this.#more()) return
    throw new S3Error('IncompleteBody', 'the body ends before its last chunk')
  }

  /** False at the end. */
  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#source.next()
      if (next.done === true) return false
      if (next.value.length === 0) continue
      this.#rest = next.value
      return true
    }
  }
}

function parseChunkLine(line: string): {
  readonly size: number
  readonly signature: string | undefined
} {
  const match = /^([0-9a-f]{1,11})((?:;[^;]*)*)$/i.exec(line)
  const size = Number.parseInt(match?.[1] ?? '', 16)
  if (Number.isNaN(size) || size > chunkBytesMax) {
    throw malformed(`${JSON.stringify(line.slice(0, 100))} is not the beginning of a chunk`)
  }
  return { size, signature: /;chunk-signature=([0-9a-f]{64})(?:;|$)/.exec(match?.[2] ?? '')?.[1] }
}

function malformed(why: string): S3Error {
  return new S3Error('InvalidRequest', `the body is not in aws-chunked form as it says: ${why}`)
}

function notSigned(what: string): S3Error {
  return new S3Error(
    'SignatureDoesNotMatch',
    `the signature of ${what} is not that of what has come`,
  )
}
