import { ResourceExhaustedError } from '../../base/errors.ts'
import { messageBytesMax } from '../../base/grpc-wire.ts'

/**
 * Gathers an answer that must fit one message, piece by piece: the pieces are messages of the same
 * kind whose lists, joined, are the answer's.
 */
export class SingleMessage {
  readonly #advice: string
  readonly #pieces: Uint8Array[] = []
  #sizeBytes = 0

  /** `advice` says what to do when the answer is too large. */
  constructor(advice: string) {
    this.#advice = advice
  }

  /** @throws {ResourceExhaustedError} as soon as the answer is larger than a message may be. */
  add(pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) {
      this.#sizeBytes += piece.length
      this.#pieces.push(piece)
    }
    requireFits(this.#sizeBytes, this.#advice)
  }

  get pieces(): readonly Uint8Array[] {
    return this.#pieces
  }
}

/** @throws {ResourceExhaustedError} when a message of `sizeBytes` would be too large. */
export function requireFits(sizeBytes: number, advice: string): void {
  if (sizeBytes <= messageBytesMax) return
  throw new ResourceExhaustedError(
    `the answer is larger than one message may be (${messageBytesMax} bytes): ${advice}`,
  )
}
