import { linkSync, mkdirSync, readdirSync, renameSync, rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'

import { contentSizeBytes, type Content, type Contents } from '../../storage/contents.ts'
import { errorCode } from './datum-errors.ts'

/** Smaller files are written as fast as they are linked. */
const linkedBytesMin = 256 * 1024
/** No link can be made there: from another disk, of a file with too many, or at all. */
const withoutLinks = new Set<string | undefined>(['EXDEV', 'EMLINK', 'EPERM', 'ENOTSUP'])

export interface InputCacheOptions {
  /** The cache's alone, on the disk on which slots are; made if need be, and emptied. */
  readonly directory: string
  readonly bytesMax: number
}

/**
 * Large input files as they were written for one datum, for others to link to: what many datums
 * read is written once. Those that were not used for the longest time go first. Files are never
 * changed: they are for slots that cannot.
 */
export class InputCache {
  readonly directory: string
  readonly #bytesMax: number
  /** Hash in hex → size, those used last at the end. */
  readonly #files = new Map<string, number>()
  readonly #filling = new Map<string, Promise<void>>()
  #bytes = 0
  #count = 0

  constructor({ directory, bytesMax }: InputCacheOptions) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true })
    this.directory = directory
    this.#bytesMax = bytesMax
  }

  /** Whether it takes files like this. */
  takes(content: Content): boolean {
    const size = contentSizeBytes(content)
    return size >= linkedBytesMin && size <= this.#bytesMax
  }

  /**
   * Makes a link to `content` at `target`, writing it by `write` if it is not here. False when no
   * link can be made, and nothing is at `target`.
   */
  async link(
    { hash }: Pick<Contents, 'hash'>,
    content: Content,
    target: string,
    write: (path: string) => Promise<void>,
  ): Promise<boolean> {
    const key = Buffer.from(hash(content)).toString('hex')
    for (let pending = this.#filling.get(key); pending; pending = this.#filling.get(key)) {
      // Whoever writes it may be cancelled: then it is our turn.
      await pending.catch(() => {})
    }
    if (!this.#files.has(key)) {
      const filling = this.#fill(key, contentSizeBytes(content), write)
      this.#filling.set(key, filling)
      try {
        await filling
      } finally {
        this.#filling.delete(key)
      }
    }
    // Others may have taken its room since it was written.
    if (!this.#files.has(key)) return false
    this.#touch(key)
    try {
      linkSync(join(this.directory, key), target)
      return true
    } catch (error) {
      if (withoutLinks.has(errorCode(error))) return false
      throw error
    }
  }

  async #fill(
    key: string,
    sizeBytes: number,
    write: (path: string) => Promise<void>,
  ): Promise<void> {
    for (const [oldest, bytes] of this.#files) {
      if (this.#bytes + sizeBytes <= this.#bytesMax) break
      unlinkSync(join(this.directory, oldest))
      this.#files.delete(oldest)
      this.#bytes -= bytes
    }
    this.#count += 1
    const unfinished = join(this.directory, `unfinished-${this.#count}`)
    this.#bytes += sizeBytes
    try {
      await write(unfinished)
      renameSync(unfinished, join(this.directory, key))
      this.#files.set(key, sizeBytes)
    } catch (error) {
      this.#bytes -= sizeBytes
      rmSync(unfinished, { force: true })
      throw error
    }
  }

  #touch(key: string): void {
    const size = this.#files.get(key)
    if (size === undefined) return
    this.#files.delete(key)
    this.#files.set(key, size)
  }
}
