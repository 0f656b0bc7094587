import type { ObjectCache } from './object-cache.ts'
import type { ObjectInfo, ObjectKey, ObjectStore } from './object-store.ts'

/** Objects of which some are at hand without being kept here. */
export interface DistantObjects extends ObjectStore {
  isLocal(key: ObjectKey): boolean
}

/** Objects that are far away, of which pieces that were read are kept near. */
export class CachedObjects implements ObjectStore {
  readonly #objects: DistantObjects
  readonly #cache: ObjectCache

  constructor(objects: DistantObjects, cache: ObjectCache) {
    this.#objects = objects
    this.#cache = cache
  }

  async putIfAbsent(
    key: ObjectKey,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<boolean> {
    return await this.#objects.putIfAbsent(key, parts)
  }

  async putFileIfAbsent(key: ObjectKey, path: string): Promise<boolean> {
    return await this.#objects.putFileIfAbsent(key, path)
  }

  async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(length)
    return bytes.subarray(0, await this.getInto(key, offset, bytes))
  }

  async getInto(key: ObjectKey, offset: number, into: Uint8Array): Promise<number> {
    if (this.#objects.isLocal(key)) return await this.#objects.getInto(key, offset, into)
    return await this.#cache.read(key, offset, into, (from, length) =>
      this.#objects.get(key, from, length),
    )
  }

  async sizeBytes(key: ObjectKey): Promise<number> {
    return await this.#objects.sizeBytes(key)
  }

  list(prefix: string): AsyncIterable<ObjectInfo> {
    return this.#objects.list(prefix)
  }

  foreignNames(): AsyncIterable<string> {
    return this.#objects.foreignNames()
  }

  async refresh(key: ObjectKey): Promise<void> {
    this.#cache.drop(key)
    await this.#objects.refresh(key)
  }

  async delete(key: ObjectKey): Promise<void> {
    await this.#objects.delete(key)
    this.#cache.drop(key)
  }
}
