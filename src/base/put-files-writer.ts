import { emptyBytes } from './bytes.ts'
import { putFilesPartsMax, putFilesPartTags, putFilesTags } from './content-messages.ts'
import { fieldSize, optionalFieldSize, utf8Size, writeUtf8, writeVarint } from './wire-writer.ts'

/** Of a message; larger files take several. */
export const putFilesBytesMax: number = 1024 * 1024
/** A message of so much goes: the server works on it while the next is made, and has little left after the last. */
const sentBytesMin = 256 * 1024

const flagBytes = 2
/** The largest varint of a size up to `putFilesBytesMax`. */
const sizeBytesMax = 3

/** A file that is read at once. */
export interface SmallFile {
  /**
   * Reads all of it to `into`, from `offset` on, and returns how many bytes that is; undefined when there is no
   * room for them up to the end of `into`.
   */
  readInto(into: Uint8Array, offset: number): number | undefined
}

/**
 * Writes pachyderm.PutFilesRequest messages of whole small files, whose bytes are read to where they are sent
 * from: of a million files, each would pay for whatever is made of it on the way.
 */
export class PutFilesWriter {
  /** Holds messages one behind the other. */
  #bytes: Uint8Array = emptyBytes
  /** Where contents may be. */
  #room: Uint8Array = emptyBytes
  #start = 0
  #at = 0
  #partCount = 0

  get isEmpty(): boolean {
    return this.#partCount === 0
  }

  /** True when the message should go before there is more of it. */
  get isFull(): boolean {
    return this.#partCount === putFilesPartsMax || this.#at - this.#start >= sentBytesMin
  }

  /** False when there is no room: take the message, and try again; of an empty one, it then is no small file. */
  add(path: string, file: SmallFile, overwrite: boolean): boolean {
    if (this.#partCount === putFilesPartsMax) return false
    if (this.#tryAdd(path, file, overwrite)) return true
    const isFresh = this.#at === 0 && this.#room.length > 0
    if (!this.isEmpty || isFresh) {
      // What is left of the memory is not tried again.
      if (!isFresh) this.#room = emptyBytes
      return false
    }
    this.#bytes = new Uint8Array(putFilesBytesMax + flagBytes)
    this.#room = this.#bytes.subarray(0, putFilesBytesMax)
    this.#start = 0
    this.#at = 0
    return this.#tryAdd(path, file, overwrite)
  }

  #tryAdd(path: string, file: SmallFile, overwrite: boolean): boolean {
    const pathSize = utf8Size(path)
    const bytes = this.#bytes
    // As far away as what goes before it may need.
    const readAt = this.#at + 2 * (1 + sizeBytesMax) + optionalFieldSize(pathSize)
    if (readAt > this.#room.length) return false
    const size = file.readInto(this.#room, readAt)
    if (size === undefined) return false
    const partSize =
      optionalFieldSize(pathSize) + optionalFieldSize(size) + (overwrite ? flagBytes : 0)
    const end = this.#at + fieldSize(partSize)
    bytes[this.#at] = putFilesTags.parts
    let at = writeVarint(bytes, this.#at + 1, partSize)
    if (pathSize > 0) {
      bytes[at] = putFilesPartTags.path
      at = writeUtf8(bytes, writeVarint(bytes, at + 1, pathSize), path, pathSize)
    }
    if (size > 0) {
      bytes[at] = putFilesPartTags.value
      at = writeVarint(bytes, at + 1, size)
      bytes.copyWithin(at, readAt, readAt + size)
      at += size
    }
    if (overwrite) {
      bytes[at] = putFilesPartTags.overwrite
      bytes[at + 1] = 1
    }
    this.#at = end
    this.#partCount += 1
    return true
  }

  /** The message, whose memory is not written again; begins the next. */
  take(): Uint8Array {
    const message = this.#bytes.subarray(this.#start, this.#at)
    this.#start = this.#at
    this.#partCount = 0
    return message
  }
}
