import { concatBytes } from '../../base/bytes.ts'
import { ResourceExhaustedError } from '../../base/errors.ts'
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
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

/** For `advice`: which command of `pachctl`, and which call, have no bound. `method` is of package pachyderm. */
export function streamedBy(command: string, method: string): string {
  return `pachctl ${command} of this server's release streams it, and so does pachyderm.${method} for programs`
}

/** @throws {ResourceExhaustedError} when a message of `sizeBytes` would be too large. */
export function requireFits(sizeBytes: number, advice: string): void {
  if (sizeBytes <= messageBytesMax) return
  throw new ResourceExhaustedError(
    `the answer is larger than one message may be (${messageBytesMax} bytes): ${advice}`,
  )
}

/**
 * An answer of all entries of all pages, each encoded as an answer of its own that has only it.
 *
 * Without `rank` they stay in their order; with it, those of a higher rank come first.
 *
 * @throws {ResourceExhaustedError} as soon as the answer is larger than a message may be.
 */
export async function wholeList<D extends DescMessage, Entry>(
  answer: D,
  pages: AsyncIterable<readonly Entry[]>,
  options: {
    readonly encode: (entry: Entry) => MessageInitShape<D>
    readonly rank?: (entry: Entry) => number
    /** What to do when the answer is too large. */
    readonly advice: string
  },
): Promise<Uint8Array> {
  const { encode, rank, advice } = options
  const found: { readonly bytes: Uint8Array; readonly rank: number }[] = []
  let sizeBytes = 0
  for await (const page of pages) {
    for (const entry of page) {
      const bytes = toBinary(answer, create(answer, encode(entry)))
      sizeBytes += bytes.length
      requireFits(sizeBytes, advice)
      found.push({ bytes, rank: rank?.(entry) ?? 0 })
    }
  }
  if (rank !== undefined) found.sort((left, right) => right.rank - left.rank)
  return concatBytes(found.map(({ bytes }) => bytes))
}
