import { concatBytes, emptyBytes, type ByteStream } from './bytes.ts'
import { messageBytesMax, prefixBytes, trailersFlag } from './grpc-wire.ts'
import type { SliceSource } from './slice-queue.ts'

/** A message that is arriving. Read it once, by `bytes` or by `slices`, before the next one. */
export interface IncomingMessage {
  readonly sizeBytes: number
  /** The whole message; a view of what arrived where it came in one piece. */
  bytes(): Promise<Uint8Array>
  /** The whole message in the pieces it arrived in, none of them copied. */
  parts(): Promise<readonly Uint8Array[]>
  /** The message in the pieces it arrives in, none of them kept or copied. */
  slices(): ByteStream
}

/** A stream of messages that ended in the middle, or whose prefix makes no sense. */
export class MalformedMessageError extends Error {
  override readonly name = 'MalformedMessageError'
}

/** A message larger than `messageBytesMax`. */
export class OversizedMessageError extends Error {
  override readonly name = 'OversizedMessageError'
}

/** Undoes the compression of one message whose result may have at most `sizeMax` bytes. */
export type Decompress = (compressed: Uint8Array, sizeMax: number) => Promise<Uint8Array>

/** What a reader does beyond reading plain messages. */
export interface ReadOptions {
  readonly decompress?: Decompress | undefined
  /** Gets the last frame of gRPC-Web, which ends the messages. */
  readonly onTrailers?: ((text: Uint8Array) => void) | undefined
  /** Told when a message is asked for: the reader is done with the one before. */
  readonly onDone?: (() => void) | undefined
  /** Told of each message before any of it is read, which waits for what this returns. */
  readonly onMessage?: ((message: ArrivingMessage) => Promise<void> | undefined) | undefined
}

/** What the prefix of a message says. */
export interface ArrivingMessage {
  /** As it is sent, which may be compressed. */
  readonly sizeBytes: number
  readonly isCompressed: boolean
}

/**
 * Cuts a stream of bytes into messages, holding no more than the slice in hand.
 *
 * Messages come one after another: asking for the next skips what was not read of the last.
 *
 * @throws {OversizedMessageError} from `next`, for a message over `messageBytesMax`.
 * @throws {MalformedMessageError} from any read.
 */
export class MessageReader implements AsyncIterableIterator<IncomingMessage> {
  readonly #source: SliceSource
  readonly #options: ReadOptions
  /** Bytes in hand, of which those before `#offset` are spent. */
  #slice: Uint8Array = emptyBytes
  #offset = 0
  /** Bytes of the current message that nobody has read yet. */
  #left = 0

  constructor(source: SliceSource, options: ReadOptions = {}) {
    this.#source = source
    this.#options = options
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Gives up; the source's owner decides what becomes of the bytes that were not read. */
  async return(): Promise<IteratorResult<IncomingMessage>> {
    return { done: true, value: undefined }
  }

  async next(): Promise<IteratorResult<IncomingMessage>> {
    while (this.#left > 0) if ((await this.#take()) === undefined) throw truncated()
    this.#options.onDone?.()
    if (!(await this.#fill())) return { done: true, value: undefined }
    const [flag, size] = this.#prefixInHand() ?? (await this.#prefix())
    const { onTrailers } = this.#options
    const isTrailers = flag === trailersFlag && onTrailers !== undefined
    if (flag > 1 && !isTrailers) throw new MalformedMessageError(`message flag ${flag} is unknown`)
    if (size > messageBytesMax) {
      throw new OversizedMessageError(
        `received message larger than max (${size} vs. ${messageBytesMax})`,
      )
    }
    this.#left = size
    if (isTrailers) {
      onTrailers(concatBytes(await this.#gather()))
      return { done: true, value: undefined }
    }
    const pending = this.#options.onMessage?.({ sizeBytes: size, isCompressed: flag === 1 })
    if (pending !== undefined) await pending
    return { done: false, value: flag === 0 ? this.#message(size) : await this.#unpacked() }
  }

  #message(sizeBytes: number): IncomingMessage {
    return {
      sizeBytes,
      bytes: async () => concatBytes(await this.#gather()),
      parts: async () => this.#gather(),
      slices: () => this.#slices(),
    }
  }

  async #unpacked(): Promise<IncomingMessage> {
    const { decompress } = this.#options
    if (decompress === undefined) {
      throw new MalformedMessageError('message is compressed, but no compression was agreed on')
    }
    const bytes = await decompress(concatBytes(await this.#gather()), messageBytesMax)
    return {
      sizeBytes: bytes.length,
      bytes: async () => bytes,
      parts: async () => [bytes],
      async *slices() {
        yield bytes
      },
    }
  }

  async #gather(): Promise<readonly Uint8Array[]> {
    const parts: Uint8Array[] = []
    while (this.#left > 0) {
      const taken = this.#taken() ?? (await this.#take())
      if (taken === undefined) throw truncated()
      parts.push(taken)
    }
    return parts
  }

  async *#slices(): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const taken = this.#taken() ?? (await this.#take())
      if (taken === undefined) throw truncated()
      yield taken
    }
  }

  /** What is in hand of the current message, or undefined when nothing is. */
  #taken(): Uint8Array | undefined {
    const available = this.#slice.length - this.#offset
    if (available === 0) return undefined
    const count = Math.min(available, this.#left)
    const taken = this.#slice.subarray(this.#offset, this.#offset + count)
    this.#offset += count
    this.#left -= count
    return taken
  }

  async #take(): Promise<Uint8Array | undefined> {
    return (await this.#fill()) ? this.#taken() : undefined
  }

  /** Makes sure that a byte is in hand. False at the end. */
  async #fill(): Promise<boolean> {
    while (this.#offset === this.#slice.length) {
      const pending = this.#source.next()
      const slice = pending instanceof Promise ? await pending : pending
      if (slice === undefined) return false
      this.#slice = slice
      this.#offset = 0
    }
    return true
  }

  /** The flag and size of the next message, when all of its prefix is in hand. */
  #prefixInHand(): readonly [number, number] | undefined {
    if (this.#slice.length - this.#offset < prefixBytes) return undefined
    const prefix = this.#slice.subarray(this.#offset, this.#offset + prefixBytes)
    this.#offset += prefixBytes
    return parsePrefix(prefix)
  }

  /** The same, when the prefix is spread over several slices. */
  async #prefix(): Promise<readonly [number, number]> {
    const prefix = new Uint8Array(prefixBytes)
    for (let index = 0; index < prefixBytes; index += 1) {
      if (!(await this.#fill())) throw truncated()
      prefix[index] = this.#slice[this.#offset] ?? 0
      this.#offset += 1
    }
    return parsePrefix(prefix)
  }
}

function parsePrefix(bytes: Uint8Array): readonly [number, number] {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1)
  return [bytes[0] ?? 0, size]
}

function truncated(): MalformedMessageError {
  return new MalformedMessageError('the stream ended in the middle of a message')
}
