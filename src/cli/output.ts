import type { Writable } from 'node:stream'
import { OutputClosedError } from './errors.ts'

/** Where a command prints. */
export class Output {
  readonly #stream: Writable
  /** Whether a person looks at it. */
  readonly isTerminal: boolean
  #failure: Error | undefined
  #written = Promise.withResolvers<void>()

  constructor(stream: Writable & { readonly isTTY?: boolean }) {
    this.#stream = stream
    this.isTerminal = stream.isTTY === true
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure =
        error.code === 'EPIPE' ? new OutputClosedError('nobody reads the output') : error
      this.#settle()
    })
    stream.on('drain', () => this.#settle())
  }

  /**
   * Resolves when there is room for more. `bytes` must not change afterwards.
   *
   * @throws {OutputClosedError} when nobody reads any more.
   */
  async write(bytes: string | Uint8Array): Promise<void> {
    this.#throwIfFailed()
    if (bytes.length === 0 || this.#stream.write(bytes)) return
    await this.#written.promise
    this.#throwIfFailed()
  }

  async line(text: string): Promise<void> {
    await this.write(`${text}\n`)
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  #settle(): void {
    this.#written.resolve()
    this.#written = Promise.withResolvers<void>()
  }
}
