/** Where slices of bytes come from, one after another, as fast as they are asked for. */
export interface SliceSource {
  /** The next slice, or undefined at the end; a promise only when it has to be waited for. */
  next(): Uint8Array | undefined | Promise<Uint8Array | undefined>
}

export interface SliceQueueOptions {
  /** From so many bytes on, the sender should pause, until 512 KiB have been pulled: who reads may have more. */
  readonly queuedBytesMaxAtFirst?: number
  /** Told of each change of what is held, by how many bytes. */
  readonly onQueued?: (bytes: number) => void
}

const queuedBytesMax = 512 * 1024

/**
 * Turns slices that are pushed into slices that are pulled, for one reader.
 *
 * Holds what was pushed and not yet pulled. Past 512 KiB, `push` says that the sender should pause; `onWanted` is called when the queue has run dry after that.
 */
export class SliceQueue implements SliceSource {
  readonly #onWanted: () => void
  readonly #queuedBytesMaxAtFirst: number
  readonly #onQueued: ((bytes: number) => void) | undefined
  #slices: Uint8Array[] = []
  #head = 0
  #queuedBytes = 0
  #pulledBytes = 0
  #paused = false
  #ended = false
  #failure: Error | undefined
  #waiting: PromiseWithResolvers<Uint8Array | undefined> | undefined

  constructor(
    onWanted: () => void,
    { queuedBytesMaxAtFirst = queuedBytesMax, onQueued }: SliceQueueOptions = {},
  ) {
    this.#onWanted = onWanted
    this.#queuedBytesMaxAtFirst = queuedBytesMaxAtFirst
    this.#onQueued = onQueued
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** The reader waits for a slice. */
  get isAwaited(): boolean {
    return this.#waiting !== undefined
  }

  /** Takes over `slice`. False when the sender should pause until it is wanted again. */
  push(slice: Uint8Array): boolean {
    const waiting = this.#waiting
    if (waiting !== undefined) {
      this.#waiting = undefined
      this.#pulledBytes += slice.length
      waiting.resolve(slice)
      return true
    }
    this.#slices.push(slice)
    this.#queuedBytes += slice.length
    const bytesMax =
      this.#pulledBytes < queuedBytesMax ? this.#queuedBytesMaxAtFirst : queuedBytesMax
    if (this.#queuedBytes >= bytesMax) this.#paused = true
    this.#onQueued?.(slice.length)
    return !this.#paused
  }

  /** No more slices will be pushed. */
  end(): void {
    this.#ended = true
    this.#waiting?.resolve(undefined)
    this.#waiting = undefined
  }

  /** Every later `next` throws `error`; queued slices are dropped. Does nothing after `end`. */
  fail(error: Error): void {
    if (this.#ended || this.#failure !== undefined) return
    this.#failure = error
    this.#slices = []
    this.#head = 0
    this.#queuedBytes = 0
    this.#waiting?.reject(error)
    this.#waiting = undefined
  }

  next(): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    if (this.#failure !== undefined) throw this.#failure
    const slice = this.#slices[this.#head]
    if (slice !== undefined) {
      this.#head += 1
      this.#queuedBytes -= slice.length
      this.#pulledBytes += slice.length
      this.#onQueued?.(-slice.length)
      if (this.#head === this.#slices.length) this.#emptied()
      return slice
    }
    if (this.#ended) return undefined
    this.#waiting ??= Promise.withResolvers<Uint8Array | undefined>()
    return this.#waiting.promise
  }

  #emptied(): void {
    this.#slices = []
    this.#head = 0
    if (!this.#paused) return
    this.#paused = false
    this.#onWanted()
  }
}
