import { type FileHandle, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { copyBytes } from '../../base/bytes.ts'
import { assert, DataLossError, DiskFullError, UnavailableError } from '../../base/errors.ts'
import type { ChunkId } from '../chunks.ts'
import { type FaultPoint } from '../fault-point.ts'
import { fileError } from '../file-errors.ts'
import type { EncodedChunk } from './compression.ts'
import {
  encodeFooter,
  headerBytes,
  type IndexedChunk,
  packBytesTarget,
  packChunksMax,
  type PackEntry,
  type PackFooter,
  packHeader,
  sortedById,
} from './format.ts'

/** Small chunks are gathered up to this before they are written. */
const bufferBytes = 1024 * 1024
/** A chunk of this size is written from where it lies. */
const directBytesMin = 128 * 1024
/** A put waits while more than this is being written. */
const writingBytesMax = 8 * 1024 * 1024
/**
 * So much that has been written is made durable while the disk has nothing else to write: so little is left for the
 * end, when somebody waits.
 */
const syncBytes = 4 * 1024 * 1024

interface DraftChunk extends IndexedChunk {
  /** Set while its bytes are still the caller's: settles when they have been written. */
  written: Promise<void> | undefined
}

interface Block {
  readonly offset: number
  readonly bytes: Uint8Array
  readonly length: number
}

export interface DraftOptions {
  /** Told each time that the disk has no room for the draft. */
  readonly onFull?: (error: DiskFullError) => void
  /** Whether a pack may not have the name, because another object has it. */
  readonly isTaken?: (name: string) => Promise<boolean>
}

/** A pack that is being written to a file. Its chunks can be read at once. */
export class PackDraft {
  readonly path: string
  readonly #faultPoint: FaultPoint
  readonly #options: DraftOptions
  readonly #chunks = new Map<ChunkId, DraftChunk>()
  readonly #writes = new Map<Block, Promise<void>>()
  /** Blocks that could not be written; they are kept and tried again. */
  readonly #failed = new Set<Block>()
  #writingBytes = 0
  #unsyncedBytes = 0
  #syncing: Promise<void> | undefined
  #syncFailure: UnavailableError | undefined
  #file: Promise<FileHandle> | undefined
  #end = headerBytes
  #buffer = Buffer.alloc(0)
  #bufferStart = headerBytes
  #bufferUsed = 0
  #closed = false

  constructor(path: string, faultPoint: FaultPoint, options: DraftOptions = {}) {
    this.path = path
    this.#faultPoint = faultPoint
    this.#options = options
  }

  get isFull(): boolean {
    return this.#end >= packBytesTarget || this.#chunks.size >= packChunksMax
  }

  get chunkCount(): number {
    return this.#chunks.size
  }

  /** The ids of its chunks, as its index has them. */
  ids(): readonly ChunkId[] {
    return [...this.#chunks.keys()].toSorted()
  }

  /**
   * Whether chunks of one pack can be added without making it larger than a pack should be. Packs are
   * sealed once they are larger than that, so an empty draft takes all that was in one.
   */
  hasRoomFor(chunks: readonly { readonly storedBytes: number }[]): boolean {
    if (this.#chunks.size === 0) return true
    const end = chunks.reduce((sum, { storedBytes }) => sum + storedBytes, this.#end)
    return end <= packBytesTarget && this.#chunks.size + chunks.length <= packChunksMax
  }

  /**
   * Undefined when the draft does not hold the chunk; else a promise, or nothing to wait for, after
   * which it does.
   */
  holds(id: ChunkId): { readonly written: Promise<void> | undefined } | undefined {
    return this.#chunks.get(id)
  }

  /**
   * Appends a chunk that the draft does not hold. The bytes are the draft's until the promise that
   * is returned settles; undefined means that they have been copied.
   */
  append(id: ChunkId, rawBytes: number, chunk: EncodedChunk): Promise<void> | undefined {
    assert(!this.#closed, 'a sealed pack takes no chunks')
    const { stored, encoding } = chunk
    const offset = this.#end
    this.#end += stored.length
    const entry: DraftChunk = {
      id,
      offset,
      storedBytes: stored.length,
      rawBytes,
      encoding,
      written: undefined,
    }
    this.#chunks.set(id, entry)
    if (stored.length >= directBytesMin) {
      this.#startBuffer(this.#end)
      entry.written = this.#writeDirectly(id, entry, stored)
      return entry.written
    }
    if (this.#bufferUsed + stored.length > this.#buffer.length) {
      this.#startBuffer(offset)
      this.#buffer = Buffer.allocUnsafeSlow(bufferBytes)
    }
    this.#buffer.set(stored, this.#bufferUsed)
    this.#bufferUsed += stored.length
    if (this.#writingBytes > writingBytesMax || this.#failed.size > 0) return this.#settle()
    return undefined
  }

  /** The stored bytes of a chunk, as a copy, and how to decode them. */
  async read(id: ChunkId): Promise<{ entry: PackEntry; stored: Uint8Array } | undefined> {
    const entry = this.#chunks.get(id)
    if (entry === undefined) return undefined
    const { offset, storedBytes } = entry
    const held = this.#heldBlock(offset)
    if (held !== undefined) {
      const start = offset - held.offset
      return { entry, stored: copyBytes(held.bytes.subarray(start, start + storedBytes)) }
    }
    const stored = Buffer.allocUnsafeSlow(storedBytes)
    const file = await this.#opened()
    const { bytesRead } = await file.read(stored, 0, storedBytes, offset)
    if (bytesRead !== storedBytes) {
      throw new DataLossError(`draft of a pack ${this.path}: chunk ${id} was cut off`)
    }
    return { entry, stored }
  }

  /** Takes no more chunks. */
  close(): void {
    this.#closed = true
  }

  /** Writes what is left, and the footer. May be called again when it failed. */
  async finish(): Promise<PackFooter & { readonly sizeBytes: number }> {
    this.close()
    this.#faultPoint('pack: before the last chunks')
    this.#startBuffer(this.#end)
    await this.#settle()
    this.#faultPoint('pack: chunks written')
    let footer = encodeFooter(sortedById([...this.#chunks.values()]), this.#end)
    while ((await this.#options.isTaken?.(footer.name)) === true) {
      await this.#moveSmallest()
      footer = encodeFooter(sortedById([...this.#chunks.values()]), this.#end)
    }
    await this.#write({ offset: 0, bytes: packHeader(), length: headerBytes })
    await this.#write({ offset: this.#end, bytes: footer.bytes, length: footer.bytes.length })
    await this.#syncing
    if (this.#syncFailure !== undefined) throw this.#syncFailure
    this.#faultPoint('pack: footer written')
    return { ...footer, sizeBytes: this.#end + footer.bytes.length }
  }

  /** Puts a chunk behind the others, and leaves a gap where it was: so the pack has another name. */
  async #moveSmallest(): Promise<void> {
    const [smallest] = [...this.#chunks].toSorted(
      ([, left], [, right]) => left.storedBytes - right.storedBytes,
    )
    const [id] = smallest ?? []
    const read = id === undefined ? undefined : await this.read(id)
    if (id === undefined || read === undefined) return
    const { entry, stored } = read
    const offset = this.#end
    await this.#write({ offset, bytes: stored, length: stored.length })
    this.#end += Math.max(1, stored.length)
    this.#chunks.set(id, { ...entry, id, offset, written: undefined })
  }

  /** Closes the file, and removes it when it is still there. */
  async discard(): Promise<void> {
    await Promise.allSettled(this.#writes.values())
    await this.#syncing
    const file = await this.#file?.catch(() => undefined) // whoever wrote to it saw the error
    await file?.close()
    await rm(this.path, { force: true })
  }

  #heldBlock(offset: number): Block | undefined {
    if (offset >= this.#bufferStart && offset < this.#bufferStart + this.#bufferUsed) {
      return { offset: this.#bufferStart, bytes: this.#buffer, length: this.#bufferUsed }
    }
    for (const blocks of [this.#writes.keys(), this.#failed]) {
      for (const block of blocks) {
        if (offset >= block.offset && offset < block.offset + block.length) return block
      }
    }
    return undefined
  }

  /** Starts writing what the buffer holds; the rest of it is for chunks from `offset` on. */
  #startBuffer(offset: number): void {
    if (this.#bufferUsed > 0) {
      const block = { offset: this.#bufferStart, bytes: this.#buffer, length: this.#bufferUsed }
      this.#startWrite(block).catch(() => this.#failed.add(block))
      this.#buffer = this.#buffer.subarray(this.#bufferUsed)
      this.#bufferUsed = 0
    }
    this.#bufferStart = offset
  }

  async #writeDirectly(id: ChunkId, entry: DraftChunk, stored: Uint8Array): Promise<void> {
    try {
      await this.#startWrite({ offset: entry.offset, bytes: stored, length: stored.length })
      entry.written = undefined
    } catch (error) {
      // The bytes are the caller's again, so the chunk was never here; its place stays unused.
      this.#chunks.delete(id)
      throw error
    }
  }

  #startWrite(block: Block): Promise<void> {
    const done = this.#write(block).finally(() => {
      this.#writes.delete(block)
      this.#writingBytes -= block.length
      this.#unsyncedBytes += block.length
      if (this.#writes.size === 0 && this.#unsyncedBytes >= syncBytes) this.#startSync()
    })
    this.#writes.set(block, done)
    this.#writingBytes += block.length
    return done
  }

  #startSync(): void {
    if (this.#syncing !== undefined || this.#closed) return
    this.#unsyncedBytes = 0
    this.#syncing = this.#sync().finally(() => {
      this.#syncing = undefined
    })
  }

  /**
   * What a failed sync has lost, a later one may not tell: the draft then can never be finished, and its chunks
   * are there until the process ends.
   */
  async #sync(): Promise<void> {
    try {
      this.#faultPoint('pack: sync')
      await (await this.#opened()).datasync()
    } catch (error) {
      this.#syncFailure = new UnavailableError(
        `the disk of ${dirname(this.path)} failed to sync; look after it, then restart`,
        { cause: error },
      )
    }
  }

  /** Waits for all writes, and tries those again that failed. */
  async #settle(): Promise<void> {
    await Promise.allSettled(this.#writes.values())
    for (const block of this.#failed) {
      await this.#write(block)
      this.#failed.delete(block)
    }
  }

  async #write(block: Block): Promise<void> {
    try {
      this.#faultPoint('pack: write')
      const file = await this.#opened()
      let written = 0
      while (written < block.length) {
        const { bytesWritten } = await file.write(
          block.bytes,
          written,
          block.length - written,
          block.offset + written,
        )
        written += bytesWritten
      }
    } catch (error) {
      const failure = fileError(error, `draft of a pack ${this.path}`, dirname(this.path))
      if (failure instanceof DiskFullError) this.#options.onFull?.(failure)
      throw failure
    }
  }

  async #opened(): Promise<FileHandle> {
    const file = (this.#file ??= open(this.path, 'wx+'))
    try {
      return await file
    } catch (error) {
      if (this.#file === file) this.#file = undefined
      throw error
    }
  }
}
