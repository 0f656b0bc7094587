import { readFile, unlink } from 'node:fs/promises'
import { concatBytes, copyBytes } from '../base/bytes.ts'
import { NotFoundError, ResourceExhaustedError } from '../base/errors.ts'
import type { ObjectInfo, ObjectKey, ObjectStore } from './object-store.ts'

/** Objects in a map, at most `capacityBytes` of them. */
export class MemoryObjectStore implements ObjectStore {
  readonly #objects = new Map<ObjectKey, Uint8Array>()
  readonly #capacityBytes: number
  #usedBytes = 0

  constructor(capacityBytes: number = Number.POSITIVE_INFINITY) {
    this.#capacityBytes = capacityBytes
  }

  async putIfAbsent(
    key: ObjectKey,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<boolean> {
    const copies: Uint8Array[] = []
    for await (const part of parts) copies.push(copyBytes(part))
    const bytes = concatBytes(copies)
    if (this.#objects.has(key)) return false
    if (this.#usedBytes + bytes.length > this.#capacityBytes) {
      throw new ResourceExhaustedError(`object ${key}: the store is full`)
    }
    this.#objects.set(key, bytes)
    this.#usedBytes += bytes.length
    return true
  }

  async putFileIfAbsent(key: ObjectKey, path: string): Promise<boolean> {
    const stored = await this.putIfAbsent(key, [await readFile(path)])
    await unlink(path)
    return stored
  }

  get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const bytes = this.#objects.get(key)
    if (bytes === undefined) return Promise.reject(missing(key))
    return Promise.resolve(bytes.slice(offset, offset + length))
  }

  async getInto(key: ObjectKey, offset: number, into: Uint8Array): Promise<number> {
    const bytes = await this.get(key, offset, into.length)
    into.set(bytes)
    return bytes.length
  }

  sizeBytes(key: ObjectKey): Promise<number> {
    const bytes = this.#objects.get(key)
    if (bytes === undefined) return Promise.reject(missing(key))
    return Promise.resolve(bytes.length)
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).toSorted()
    for (const key of keys) {
      const bytes = this.#objects.get(key)
      if (bytes !== undefined) yield { key, sizeBytes: bytes.length }
    }
  }

  async *foreignNames(): AsyncGenerator<string> {
    // Nobody else puts anything here.
  }

  refresh(): Promise<void> {
    return Promise.resolve()
  }

  delete(key: ObjectKey): Promise<void> {
    this.#usedBytes -= this.#objects.get(key)?.length ?? 0
    this.#objects.delete(key)
    return Promise.resolve()
  }
}

function missing(key: ObjectKey): NotFoundError {
  return new NotFoundError(`object ${key}: not found`)
}
