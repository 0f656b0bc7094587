import { DataLossError } from '../../base/errors.ts'
import type { ObjectKey, ObjectStore } from '../object-store.ts'

/** Bytes that are read at once: as many as the largest chunk. */
const windowBytes = 4 * 1024 * 1024

/** The disk does not give them. */
export class UnreadableBytesError extends DataLossError {
  override readonly name = 'UnreadableBytesError'
}

/**
 * A piece of an object in memory, which moves on as it is asked. Where the disk does not give a piece,
 * only what is asked for is read, so that a sector costs the bytes in it and no others.
 */
export class PackWindow {
  readonly #objects: ObjectStore
  readonly #key: ObjectKey
  readonly #end: number
  #start = 0
  #bytes: Uint8Array = new Uint8Array(0)
  /** Where a piece that could not be read ends. */
  #badEnd = 0

  /** @param object whose bytes up to `end` are read. */
  constructor(objects: ObjectStore, object: { readonly key: ObjectKey; readonly end: number }) {
    this.#objects = objects
    this.#key = object.key
    this.#end = object.end
  }

  /** @throws {DataLossError} when they cannot be read, or the object ends before. */
  async bytes(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#start || offset + length > this.#start + this.#bytes.length) {
      if (offset < this.#badEnd) return await this.#exactly(offset, length)
      const wanted = Math.min(Math.max(length, windowBytes), this.#end - offset)
      try {
        this.#bytes = await this.#objects.get(this.#key, offset, wanted)
        this.#start = offset
      } catch (error) {
        if (!(error instanceof DataLossError)) throw error
        this.#badEnd = offset + wanted
        return await this.#exactly(offset, length)
      }
    }
    const at = offset - this.#start
    return this.#whole(this.#bytes.subarray(at, at + length), length)
  }

  async #exactly(offset: number, length: number): Promise<Uint8Array> {
    try {
      return this.#whole(await this.#objects.get(this.#key, offset, length), length)
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      throw new UnreadableBytesError(error.message, { cause: error })
    }
  }

  #whole(bytes: Uint8Array, length: number): Uint8Array {
    if (bytes.length < length) throw new DataLossError(`object ${this.#key} ends too early`)
    return bytes
  }
}
