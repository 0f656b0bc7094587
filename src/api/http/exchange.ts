import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { ByteStream } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import type { BudgetHolder, CallerBudget } from '../grpc/caller-budget.ts'
import { commonHeaders } from './headers.ts'

/** So much is handed to the connection at once; who takes less than that … */
const sliceBytes = 64 * 1024
/** … in so long has stopped. It can ask for the rest with a range. */
const stallMsMax = 120_000
/** Answers that are no larger are held by the connection alone. */
const lightBytesMax = 64 * 1024

/** One request and its answer. */
export class Exchange implements BudgetHolder {
  readonly request: IncomingMessage
  readonly #response: ServerResponse
  readonly #clock: Clock
  readonly #budget: CallerBudget
  readonly #abort = new AbortController()
  #drained: PromiseWithResolvers<void> | undefined
  #movedBytes = 0

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    { clock, budget }: { readonly clock: Clock; readonly budget: CallerBudget },
  ) {
    this.request = request
    this.#response = response
    this.#clock = clock
    this.#budget = budget
    request.on('error', () => {}) // the response closes then
    response.on('error', () => {})
    response.on('drain', () => this.#wake())
    response.on('close', () => this.gone())
  }

  /** Aborts when the caller is gone, and at the end. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get connection(): object {
    return this.request.socket
  }

  get movedBytes(): number {
    return this.#movedBytes
  }

  get isWaitingForCaller(): boolean {
    return this.#drained !== undefined
  }

  get isHead(): boolean {
    return this.request.method === 'HEAD'
  }

  /** The status is on its way: what goes wrong from now on can only end the connection. */
  get hasBegun(): boolean {
    return this.#response.headersSent
  }

  /** Breaks the connection off, so that a caller does not take a part for the whole. */
  abandon(): void {
    this.#response.destroy()
    this.gone()
  }

  /**
   * The connection is closed. Told by whoever owns it, too: Node does not tell answers of which the turn
   * has not come.
   */
  gone(): void {
    this.#abort.abort()
    this.#wake()
  }

  /** Answers with a short text, or with none. */
  answer(status: number, headers: OutgoingHttpHeaders, text = ''): void {
    const bytes = Buffer.from(text)
    this.#response.writeHead(status, {
      ...commonHeaders,
      ...(status !== 204 && status !== 304 && { 'content-length': bytes.length }),
      ...headers,
    })
    this.#response.end(this.isHead ? undefined : bytes)
  }

  /**
   * Answers with a stream, at the caller's pace. Nothing is said before its first bytes have come, so
   * that what cannot be read is answered as what it is. `heldBytes` is what the stream holds in memory,
   * for which it waits its turn.
   */
  async stream(
    status: number,
    headers: OutgoingHttpHeaders,
    { bytes, heldBytes }: { readonly bytes: ByteStream; readonly heldBytes: number },
  ): Promise<void> {
    if (this.isHead) {
      this.#response.writeHead(status, { ...commonHeaders, ...headers })
      this.#response.end()
      return
    }
    const waiting = heldBytes > lightBytesMax ? this.#budget.take(this, heldBytes) : undefined
    try {
      await waiting
      await this.#send(status, headers, bytes)
    } finally {
      this.#budget.release(this)
    }
  }

  async #send(status: number, headers: OutgoingHttpHeaders, bytes: ByteStream): Promise<void> {
    const source = bytes[Symbol.asyncIterator]()
    try {
      let next = await source.next()
      this.#requireCaller()
      this.#response.writeHead(status, { ...commonHeaders, ...headers })
      for (; next.done !== true; next = await source.next()) await this.#write(next.value)
      this.#requireCaller()
      this.#response.end()
    } finally {
      await source.return?.()
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += sliceBytes) {
      this.#requireCaller()
      const slice = bytes.subarray(at, at + sliceBytes)
      if (!this.#response.write(slice)) await this.#room()
      this.#movedBytes += slice.length
    }
  }

  /** Waits until the caller has taken what was sent. */
  async #room(): Promise<void> {
    const drained = Promise.withResolvers<void>()
    this.#drained = drained
    const timer = new AbortController()
    this.#clock.sleep(stallMsMax, timer.signal).then(
      () => this.abandon(),
      () => {}, // there was room before
    )
    try {
      await drained.promise
    } finally {
      timer.abort()
    }
  }

  #wake(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }

  #requireCaller(): void {
    if (this.signal.aborted) throw new CancelledError('the caller is gone')
  }
}
