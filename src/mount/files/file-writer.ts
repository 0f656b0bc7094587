import type { ByteStream } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { asError, OperationError } from '../errors.ts'

/** What is kept until it is known whether more comes: smaller files go in one piece when they are closed. */
const heldBytesMax = 1024 * 1024
/** What waits for the server to take it. */
const waitingBytesMax = 4 * 1024 * 1024

/** How long the server may take nothing more, and answer nothing either. */
const stalledMsMax = 120_000

/** Puts bytes at the end of the file, or in place of it. */
export type Put = (
  bytes: ByteStream,
  options: { readonly overwrite: boolean; readonly signal: AbortSignal },
) => Promise<void>

/** What is written to a file of an open commit, in order, until it is flushed. */
export class FileWriter {
  readonly #put: Put
  readonly #clock: Clock
  readonly #cancel = new AbortController()
  /** The next put takes the place of what is there. */
  #replaces: boolean
  #isDirty: boolean
  #sizeBytes: number
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #isEnding = false
  #isDiscarded = false
  #putting: Promise<void> | undefined
  #failure: Error | undefined
  #changed = Promise.withResolvers<void>()

  /** `sizeBytes`: what is there; undefined when the file is made, or made empty. */
  constructor(put: Put, clock: Clock, sizeBytes: number | undefined) {
    this.#put = put
    this.#clock = clock
    this.#replaces = sizeBytes === undefined
    this.#isDirty = this.#replaces
    this.#sizeBytes = sizeBytes ?? 0
  }

  /** With what was written, be it there already or not. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Whether there is something to flush. */
  get isDirty(): boolean {
    return this.#isDirty
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined
  }

  /** The file was deleted: what is written to it goes nowhere. */
  discard(): void {
    this.#isDiscarded = true
    this.#isDirty = false
    this.#waiting = []
    this.#waitingBytes = 0
    this.#cancel.abort()
  }

  /** What was written goes, and what is there. */
  truncate(): void {
    if (this.#putting !== undefined) {
      throw new OperationError('EOPNOTSUPP', 'a file cannot be emptied while it is written')
    }
    this.#waiting = []
    this.#waitingBytes = 0
    this.#sizeBytes = 0
    this.#replaces = true
    this.#isDirty = true
  }

  /**
   * Takes `bytes`, which must not change afterwards.
   *
   * @throws {OperationError} EOPNOTSUPP when they do not belong at the end.
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    // Somebody else closes the file meanwhile.
    while (this.#isEnding) await this.#change()
    if (this.#isDiscarded) {
      this.#sizeBytes = Math.max(this.#sizeBytes, offset + bytes.length)
      return
    }
    this.#throwIfFailed()
    if (offset !== this.#sizeBytes) {
      throw new OperationError('EOPNOTSUPP', 'files can be written in order only, or appended to')
    }
    this.#isDirty = true
    this.#sizeBytes += bytes.length
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#settle()
    if (this.#waitingBytes > heldBytesMax) this.#start()
    while (this.#waitingBytes > waitingBytesMax && this.#failure === undefined) {
      await this.#change()
    }
    this.#throwIfFailed()
  }

  /** Resolves when everything that was written is durable; throws when something is not. */
  async flush(): Promise<void> {
    if (this.#isDiscarded) return
    if (this.#isDirty && this.#failure === undefined) {
      this.#start()
      this.#isEnding = true
      this.#settle()
    }
    while (this.#putting !== undefined) await this.#change()
    this.#throwIfFailed()
  }

  /** Nobody writes any more, or ever will: what is not yet there does not come. */
  close(): void {
    this.#cancel.abort()
  }

  /** Waits until something happens; a server at which nothing does is given up. */
  async #change(): Promise<void> {
    const timer = new AbortController()
    const changed = this.#changed.promise.finally(() => timer.abort())
    const late = this.#clock.sleep(stalledMsMax, timer.signal).then(
      () => {
        this.#failure ??= new OperationError(
          'ETIMEDOUT',
          `the server took nothing for ${stalledMsMax / 1000} s`,
          { cause: 'a server that does not answer' },
        )
        this.#isEnding = false
        this.#putting = undefined
        this.#cancel.abort()
      },
      () => undefined,
    )
    await Promise.race([changed, late])
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  #start(): void {
    this.#putting ??= this.#putAll()
  }

  async #putAll(): Promise<void> {
    const options = { overwrite: this.#replaces, signal: this.#cancel.signal }
    try {
      await this.#put(this.#bytes(), options)
      this.#replaces = false
      this.#isDirty = false
    } catch (error) {
      this.#failure ??= asError(error)
    }
    this.#isEnding = false
    this.#putting = undefined
    this.#settle()
  }

  async *#bytes(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const waiting = this.#waiting
      this.#waiting = []
      this.#waitingBytes = 0
      this.#settle()
      yield* waiting
      if (this.#waiting.length > 0) continue
      if (this.#isEnding) return
      await this.#changed.promise
    }
  }

  #settle(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
