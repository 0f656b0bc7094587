import type { ByteStream } from '../../base/bytes.ts'
import { concatBytes } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { assert, CancelledError } from '../../base/errors.ts'
import type { BudgetHolder, CallerBudget } from '../grpc/caller-budget.ts'
import type { Exchange } from '../http/exchange.ts'
import { BodyChecks } from './body-checks.ts'
import { ChunkedBody } from './chunked-body.ts'
import { S3Error } from './errors.ts'
import type { Signed } from './signatures.ts'

/** A body that is stored holds so much: pieces on their way to the threads that split them. */
const heldBytesMax = 8 * 1024 * 1024
/** Bodies that are no larger are held by the connection alone. */
const lightBytesMax = 64 * 1024
/** Who sends less than this, while it is waited for … */
const progressBytesMin = 64 * 1024
/** … for so long has stopped. */
const stallMsMax = 120_000
/** What is left of a body that is not wanted is taken, up to so much, so that the answer is heard. */
const discardedBytesMax = 4 * 1024 * 1024
const discardMsMax = 2000

/** The body of a request, read at most once, and checked against what the headers say of it. */
export class RequestBody implements BudgetHolder {
  readonly #exchange: Exchange
  /** What the headers say of it, once that is known to be theirs. */
  signed: Signed | undefined
  readonly #clock: Clock
  readonly #budget: CallerBudget
  #checks: BodyChecks | undefined
  #movedBytes = 0
  #waitingSinceMs: number | undefined
  #waitedMs = 0

  constructor(
    exchange: Exchange,
    signed: Signed | undefined,
    { clock, budget }: { readonly clock: Clock; readonly budget: CallerBudget },
  ) {
    this.#exchange = exchange
    this.signed = signed
    this.#clock = clock
    this.#budget = budget
  }

  get signal(): AbortSignal {
    return this.#exchange.signal
  }

  get connection(): object {
    return this.#exchange.connection
  }

  get movedBytes(): number {
    return this.#movedBytes
  }

  get isWaitingForCaller(): boolean {
    return this.#waitingSinceMs !== undefined
  }

  /** Checksums that were said, and are right: for the answer. */
  get verified(): Readonly<Record<string, string>> {
    return this.#checks?.verified ?? {}
  }

  abandon(): void {
    this.#exchange.abandon()
  }

  /**
   * Hands the bytes to `use`, which reads all of them: it fails at the end when they are not what was
   * said. Waits its turn for the memory that they take on their way.
   */
  async store<Result>(use: (bytes: ByteStream) => Promise<Result>): Promise<Result> {
    const { 'content-length': length } = this.#exchange.request.headers
    const sizeBytes = length === undefined ? heldBytesMax : Number(length)
    try {
      if (sizeBytes > lightBytesMax) {
        await this.#budget.take(this, Math.min(sizeBytes, heldBytesMax))
      }
      return await use(this.bytes())
    } finally {
      this.#budget.release(this)
    }
  }

  /** All of it as text. @throws {S3Error} for more than `bytesMax`, and for what is no UTF-8. */
  async text(bytesMax: number): Promise<string> {
    const parts: Uint8Array[] = []
    let size = 0
    for await (const part of this.bytes()) {
      size += part.length
      if (size > bytesMax) {
        throw new S3Error('EntityTooLarge', `the body may have ${bytesMax} bytes at most here`)
      }
      parts.push(part)
    }
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(concatBytes(parts))
    } catch (error) {
      throw new S3Error('MalformedXML', 'the body is not UTF-8', { cause: error })
    }
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    const { headers } = this.#exchange.request
    assert(this.signed !== undefined, 'who sends a body is known before it is read')
    const { payload } = this.signed
    const checks = new BodyChecks(headers, /^[0-9a-f]{64}$/.test(payload) ? payload : undefined)
    const chunked = this.#chunked(this.signed)
    let sizeBytes = 0
    for await (const piece of chunked?.bytes() ?? this.#raw()) {
      sizeBytes += piece.length
      checks.update(piece)
      yield piece
    }
    const decoded = headers['x-amz-decoded-content-length']
    if (chunked !== undefined && decoded !== undefined && Number(decoded) !== sizeBytes) {
      throw new S3Error(
        'IncompleteBody',
        `${sizeBytes} bytes have come, and x-amz-decoded-content-length says ${String(decoded)}`,
      )
    }
    checks.end(chunked?.trailers ?? new Map())
    this.#checks = checks
  }

  /** Takes a little of what was not read. True when that was all, so that the connection goes on. */
  async discard(): Promise<boolean> {
    const { request } = this.#exchange
    if (request.complete && request.readableLength === 0) return true
    const timer = new AbortController()
    const late = this.#clock.sleep(discardMsMax, timer.signal).then(
      () => false,
      () => false,
    )
    try {
      return await Promise.race([this.#readRest(), late])
    } finally {
      timer.abort()
    }
  }

  async #readRest(): Promise<boolean> {
    let size = 0
    try {
      for await (const piece of this.#exchange.request.iterator({ destroyOnReturn: false })) {
        size += (piece as Uint8Array).length
        if (size > discardedBytesMax) return false
      }
      return true
    } catch {
      return false // the caller is gone
    }
  }

  #chunked({ payload, chain }: Signed): ChunkedBody | undefined {
    const match = /^STREAMING-(AWS4-HMAC-SHA256-PAYLOAD|UNSIGNED-PAYLOAD)(-TRAILER)?$/.exec(payload)
    if (match !== null) {
      const [, kind, trailer] = match
      const isSigned = kind !== 'UNSIGNED-PAYLOAD'
      return new ChunkedBody(this.#raw(), { chain, isSigned, hasTrailers: trailer !== undefined })
    }
    if (payload === 'UNSIGNED-PAYLOAD' || /^[0-9a-f]{64}$/.test(payload)) return undefined
    throw new S3Error(
      'NotImplemented',
      `x-amz-content-sha256 ${JSON.stringify(payload.slice(0, 100))} is not known here: send the body with its hash, UNSIGNED-PAYLOAD, or STREAMING-… of AWS4-HMAC-SHA256`,
    )
  }

  /** As it comes from the connection, which is given up when too little does. */
  async *#raw(): AsyncGenerator<Uint8Array> {
    const source = this.#exchange.request.iterator({ destroyOnReturn: false })
    const watch = new AbortController()
    this.#watch(watch.signal).catch(() => {}) // all has come
    try {
      for (;;) {
        const next = await this.#next(source)
        if (next.done === true) return
        this.#movedBytes += next.value.length
        yield next.value
      }
    } catch (error) {
      if (this.signal.aborted) throw new CancelledError('the caller is gone', { cause: error })
      throw error
    } finally {
      watch.abort()
      await source.return?.()
    }
  }

  async #next(source: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    this.#waitingSinceMs = this.#clock.monotonicMs()
    try {
      return await source.next()
    } finally {
      this.#waitedMs += this.#clock.monotonicMs() - this.#waitingSinceMs
      this.#waitingSinceMs = undefined
    }
  }

  /** Only what the caller was waited for counts: the store may take its time, too. */
  async #watch(signal: AbortSignal): Promise<void> {
    for (;;) {
      const [movedBefore, waitedBefore] = [this.#movedBytes, this.#waitedTotalMs()]
      await this.#clock.sleep(stallMsMax, signal)
      const isSlow = this.#movedBytes - movedBefore < progressBytesMin
      const waitedMs = this.#waitedTotalMs() - waitedBefore
      if (isSlow && waitedMs > stallMsMax / 2) this.abandon()
    }
  }

  #waitedTotalMs(): number {
    const since = this.#waitingSinceMs
    return this.#waitedMs + (since === undefined ? 0 : this.#clock.monotonicMs() - since)
  }
}
