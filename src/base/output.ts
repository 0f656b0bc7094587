import { CancelledError, FailedPreconditionError } from './errors.ts'

/** Whoever read the output has seen enough: `pachctl list-file … | head`. */
export class OutputClosedError extends CancelledError {
  override readonly name = 'OutputClosedError'
  /** What the program ends with: not 0 where it has not come to what it was to find out. */
  readonly exitCode: number

  constructor(exitCode = 0) {
    super('nobody reads the output')
    this.exitCode = exitCode
  }
}

/** The output goes to a file on a disk that is full, or to something else that takes no more. */
export class OutputFailedError extends FailedPreconditionError {
  override readonly name = 'OutputFailedError'
}

/** What an output needs of a stream. */
export interface OutputStream {
  readonly isTTY?: boolean
  write(bytes: string | Uint8Array, taken?: (error?: Error | null) => void): boolean
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'drain', listener: () => void): unknown
}

/** Where a program prints. */
export class Output {
  readonly #stream: OutputStream
  readonly #mayBeLost: boolean
  /** Whether a person looks at it. */
  readonly isTerminal: boolean
  #failure: Error | undefined
  #written = Promise.withResolvers<void>()

  /** `mayBeLost`: notices, that are no reason to end when nobody reads them. */
  constructor(stream: OutputStream, options: { readonly mayBeLost?: boolean } = {}) {
    this.#stream = stream
    this.#mayBeLost = options.mayBeLost ?? false
    this.isTerminal = stream.isTTY === true
    stream.on('error', (error) => {
      // What comes after the first is that the stream has ended.
      this.#failure ??= failureOf(error)
      this.#settle()
    })
    stream.on('drain', () => this.#settle())
  }

  /**
   * Resolves when there is room for more. `bytes` must not change afterwards.
   *
   * @throws {OutputClosedError} when nobody reads any more.
   * @throws {OutputFailedError} when it cannot be written.
   */
  async write(bytes: string | Uint8Array): Promise<void> {
    this.#throwIfFailed()
    if (bytes.length === 0 || this.#failure !== undefined || this.#stream.write(bytes)) return
    await this.#written.promise
    this.#throwIfFailed()
  }

  async line(text: string): Promise<void> {
    await this.write(`${text}\n`)
  }

  /** Resolves when all that was written has been taken. @throws as `write`. */
  async flush(): Promise<void> {
    this.#throwIfFailed()
    if (this.#failure !== undefined) return
    const { promise } = this.#written
    const error = await new Promise<Error | null | undefined>((resolve) => {
      this.#stream.write('', resolve)
    })
    // The stream says why, then.
    if (error instanceof Error && this.#failure === undefined) await promise
    this.#throwIfFailed()
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined && !this.#mayBeLost) throw this.#failure
  }

  #settle(): void {
    this.#written.resolve()
    this.#written = Promise.withResolvers<void>()
  }
}

function failureOf(error: Error): Error {
  if ('code' in error && error.code === 'EPIPE') return new OutputClosedError()
  const reason = /^\w+: ([^,]*)/.exec(error.message)?.[1] ?? error.message
  return new OutputFailedError(`the output cannot be written: ${reason}`, { cause: error })
}
