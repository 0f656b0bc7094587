import { hexText, writeHex } from '../../base/bytes.ts'
import { DataLossError, unreachable } from '../../base/errors.ts'
import type { ChunkId } from '../../storage/chunks.ts'
import type { Content } from '../../storage/contents.ts'
import type { DirectoryEntry, TreeRoot } from '../../storage/file-trees.ts'

export const idBytes = 32
const bytesFirst = 256

const inlineTag = 0
const chunkTag = 1
const listTag = 2
const piecesTag = 3

/** Appends to one growing buffer. Layouts: `docs/formats/staged-writes.md`. */
export class StagedBytesWriter {
  #buffer = new Uint8Array(bytesFirst)
  #size = 0

  get sizeBytes(): number {
    return this.#size
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#size] = value
    this.#size += 1
  }

  /** 0 to 2^53-1, seven bits a byte, lowest first. */
  varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80)
      rest = Math.floor(rest / 0x80)
    }
    this.byte(rest)
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#size)
    this.#size += bytes.length
  }

  sized(bytes: Uint8Array): void {
    this.varint(bytes.length)
    this.raw(bytes)
  }

  chunkId(chunk: ChunkId): void {
    this.#reserve(idBytes)
    writeHex(this.#buffer, this.#size, chunk)
    this.#size += idBytes
  }

  content(content: Content): void {
    switch (content.kind) {
      case 'inline':
        this.byte(inlineTag)
        this.sized(content.bytes)
        return
      case 'chunk':
        this.byte(chunkTag)
        this.chunkId(content.chunk)
        this.varint(content.sizeBytes)
        return
      case 'list':
        this.byte(listTag)
        this.chunkId(content.root)
        this.varint(content.sizeBytes)
        return
      default:
        unreachable(content)
    }
  }

  /** A directory of pieces, whose root node is a chunk. */
  pieces({ root, sizeBytes, fileCount }: DirectoryEntry): void {
    this.byte(piecesTag)
    this.chunkId(root)
    this.varint(sizeBytes)
    this.varint(fileCount)
  }

  /** The bytes so far, as a copy; the writer then starts afresh. */
  take(): Uint8Array {
    const taken = this.#buffer.slice(0, this.#size)
    this.#size = 0
    return taken
  }

  #reserve(count: number): void {
    if (this.#size + count <= this.#buffer.length) return
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#size + count))
    larger.set(this.#buffer.subarray(0, this.#size))
    this.#buffer = larger
  }
}

/** Reads what `StagedBytesWriter` wrote. @throws {DataLossError} where it cannot have. */
export class StagedBytesReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  byte(): number {
    const value = this.#bytes[this.#at]
    if (value === undefined) throw damaged('it ends too early')
    this.#at += 1
    return value
  }

  varint(): number {
    let value = 0
    for (let scale = 1; scale <= 2 ** 49; scale *= 0x80) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
    }
    throw damaged('a number is too large')
  }

  /** A view of the next `count` bytes. */
  raw(count: number): Uint8Array {
    if (this.#at + count > this.#bytes.length) throw damaged('it ends too early')
    const view = this.#bytes.subarray(this.#at, this.#at + count)
    this.#at += count
    return view
  }

  sized(): Uint8Array {
    return this.raw(this.varint())
  }

  chunkId(): ChunkId {
    return hexText(this.raw(idBytes)) as ChunkId
  }

  content(): Content {
    const tag = this.byte()
    switch (tag) {
      case inlineTag:
        // A copy: views would keep the whole chunk alive for a few bytes of it.
        return { kind: 'inline', bytes: this.sized().slice() }
      case chunkTag:
        return { kind: 'chunk', chunk: this.chunkId(), sizeBytes: this.varint() }
      case listTag:
        return { kind: 'list', root: this.chunkId(), sizeBytes: this.varint() }
      default:
        throw damaged(`content tag ${tag} is unknown`)
    }
  }

  pieces(): DirectoryEntry {
    const tag = this.byte()
    if (tag !== piecesTag) throw damaged(`pieces tag ${tag} is unknown`)
    const root: TreeRoot = this.chunkId()
    const [sizeBytes, fileCount] = [this.varint(), this.varint()]
    return { kind: 'directory', root, sizeBytes, fileCount }
  }
}

export function damaged(detail: string): DataLossError {
  return new DataLossError(`a staged write is damaged: ${detail}`)
}

/** A content as a column: docs/formats/staged-writes.md, "content". */
export function encodeContent(content: Content): Uint8Array {
  const writer = new StagedBytesWriter()
  writer.content(content)
  return writer.take()
}

/** The inverse of `encodeContent`. @throws {DataLossError} */
export function decodeContent(column: Uint8Array): Content {
  return new StagedBytesReader(column).content()
}
