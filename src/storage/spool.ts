import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { assert, DiskFullError } from '../base/errors.ts'
import { GrowingBytes } from '../base/growing-bytes.ts'
import { fileError } from './file-errors.ts'

/** Gathered before it is written, and read at once. */
const blockBytes = 1024 * 1024

/** Bytes that are written once and then read while a call lasts; nothing of them outlives it. */
export interface Spool extends AsyncDisposable {
  readonly sizeBytes: number
  /** Copies what it keeps. Await it before the next. @throws {DiskFullError} */
  write(bytes: Uint8Array): Promise<void>
  /** The bytes from `start` to `end`. Nothing may be written after it was called. */
  read(start: number, end: number): AsyncGenerator<Uint8Array>
}

/** Where spools come from. */
export interface Spools {
  /** Takes no room before more than 1 MiB is written. */
  open(): Spool
}

/** Spools as files without a name in a directory: they are gone when the process is. */
export class FileSpools implements Spools {
  readonly #directory: string
  readonly #onDiskFull: (error: DiskFullError) => void
  #count = 0

  /** `onDiskFull` is told each time that the disk has no room for one. */
  constructor(directory: string, onDiskFull: (error: DiskFullError) => void = () => undefined) {
    this.#directory = directory
    this.#onDiskFull = onDiskFull
  }

  open(): Spool {
    this.#count += 1
    return new FileSpool(this.#directory, `${this.#count}${spoolSuffix}`, this.#onDiskFull)
  }
}

/** The end of the names that spools have for a moment. */
export const spoolSuffix = '.spool'

class FileSpool implements Spool {
  readonly #directory: string
  readonly #name: string
  readonly #onDiskFull: (error: DiskFullError) => void
  #file: FileHandle | undefined
  #writtenBytes = 0
  /** What is still to be written. */
  readonly #held = new GrowingBytes()

  constructor(directory: string, name: string, onDiskFull: (error: DiskFullError) => void) {
    this.#directory = directory
    this.#name = name
    this.#onDiskFull = onDiskFull
  }

  get sizeBytes(): number {
    return this.#writtenBytes + this.#held.sizeBytes
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#held.add(bytes)
    if (this.#held.sizeBytes > blockBytes) await this.#writeOut()
  }

  async *read(start: number, end: number): AsyncGenerator<Uint8Array> {
    assert(start <= end && end <= this.sizeBytes, 'a spool is read where it was written')
    if (this.#file === undefined) {
      yield this.#held.joined().subarray(start, end)
      return
    }
    await this.#writeOut()
    for (let at = start; at < end;) {
      const block = Buffer.allocUnsafeSlow(Math.min(blockBytes, end - at))
      const { bytesRead } = await this.#calling(this.#file.read(block, 0, block.length, at))
      assert(bytesRead > 0, 'a spool holds what was written')
      at += bytesRead
      yield block.subarray(0, bytesRead)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close()
  }

  async #writeOut(): Promise<void> {
    const block = this.#held.joined()
    const file = (this.#file ??= await this.#calling(this.#create()))
    for (let at = 0; at < block.length;) {
      const { bytesWritten } = await this.#calling(
        file.write(block, at, block.length - at, this.#writtenBytes),
      )
      at += bytesWritten
      this.#writtenBytes += bytesWritten
    }
    this.#held.clear()
  }

  async #create(): Promise<FileHandle> {
    const path = join(this.#directory, this.#name)
    const file = await open(path, 'wx+')
    try {
      // From here on, the file goes with its last descriptor.
      await unlink(path)
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async #calling<Result>(call: Promise<Result>): Promise<Result> {
    try {
      return await call
    } catch (error) {
      const failure = fileError(error, `spool in ${this.#directory}`, this.#directory)
      if (failure instanceof DiskFullError) this.#onDiskFull(failure)
      throw failure
    }
  }
}
