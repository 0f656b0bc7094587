import { InvalidArgumentError } from '../../base/errors.ts'
import { GrowingBytes } from '../../base/growing-bytes.ts'
import type { RecordTarget } from './records.ts'

/** A header or a footer that is longer is taken for a mistake: each piece has a copy. */
export const frameBytesMax: number = 1024 * 1024

/** What every piece begins and ends with. */
export interface Frame {
  readonly header: Uint8Array
  readonly footer: Uint8Array
}

/** Gathers a header or a footer. */
export class FrameBytes {
  readonly #what: string
  readonly #bytes = new GrowingBytes()

  /** `what` it is, for the error. */
  constructor(what: string) {
    this.#what = what
  }

  get sizeBytes(): number {
    return this.#bytes.sizeBytes
  }

  /** Copies the bytes. @throws {InvalidArgumentError} when they become too many. */
  add(bytes: Uint8Array): void {
    if (this.#bytes.sizeBytes + bytes.length > frameBytesMax) {
      throw new InvalidArgumentError(
        `${this.#what} is longer than ${frameBytesMax} bytes, which is too much to repeat in every piece`,
      )
    }
    this.#bytes.add(bytes)
  }

  joined(): Uint8Array {
    return this.#bytes.joined()
  }
}

/** Takes the records at the start of a stream that are its header. */
export class HeaderTarget implements RecordTarget {
  readonly bytesLeft: number = Infinity
  readonly #path: string
  readonly #recordCount: number
  readonly #bytes: FrameBytes
  #recordsLeft: number

  constructor(path: string, recordCount: number) {
    this.#path = path
    this.#recordCount = recordCount
    this.#recordsLeft = recordCount
    this.#bytes = new FrameBytes(`the header of what is put at "${path}"`)
  }

  get recordsLeft(): number {
    return this.#recordsLeft
  }

  get isFull(): boolean {
    return this.#recordsLeft === 0
  }

  add(bytes: Uint8Array, ended: number): void {
    this.#bytes.add(bytes)
    this.#recordsLeft -= ended
  }

  close(): void {
    // The count says it.
  }

  joined(): Uint8Array {
    return this.#bytes.joined()
  }

  /**
   * The stream has ended, within a record or not. One that has nothing at all lacks nothing.
   *
   * @throws {InvalidArgumentError} when there are fewer records.
   */
  finish(isWithin: boolean): void {
    const missing = this.#recordsLeft - (isWithin ? 1 : 0)
    if (missing === 0 || this.#bytes.sizeBytes === 0) return
    throw new InvalidArgumentError(
      `what is put at "${this.#path}" has ${this.#recordCount - missing} records, fewer than the ${this.#recordCount} that its header should have`,
    )
  }
}
