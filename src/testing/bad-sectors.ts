import { fileError } from '../storage/file-errors.ts'
import type { ObjectInfo, ObjectKey, ObjectStore } from '../storage/object-store.ts'

/** A disk of which the bytes of some places cannot be read: a read that touches one fails. */
export class BadSectors implements ObjectStore {
  readonly #objects: ObjectStore
  readonly #bad: { readonly key: ObjectKey; readonly offset: number }[] = []

  constructor(objects: ObjectStore) {
    this.#objects = objects
  }

  break(key: ObjectKey, offset: number): void {
    this.#bad.push({ key, offset })
  }

  async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const isBad = this.#bad.some(
      (bad) => bad.key === key && bad.offset >= offset && bad.offset < offset + length,
    )
    // As Node says it.
    const error = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', errno: -5 })
    if (isBad) throw fileError(error, `object ${key}`, '/')
    return await this.#objects.get(key, offset, length)
  }

  async getInto(key: ObjectKey, offset: number, into: Uint8Array): Promise<number> {
    const bytes = await this.get(key, offset, into.length)
    into.set(bytes)
    return bytes.length
  }

  putIfAbsent(...put: Parameters<ObjectStore['putIfAbsent']>): Promise<boolean> {
    return this.#objects.putIfAbsent(...put)
  }

  putFileIfAbsent(key: ObjectKey, path: string): Promise<boolean> {
    return this.#objects.putFileIfAbsent(key, path)
  }

  sizeBytes(key: ObjectKey): Promise<number> {
    return this.#objects.sizeBytes(key)
  }

  list(prefix: string): AsyncIterable<ObjectInfo> {
    return this.#objects.list(prefix)
  }

  foreignNames(): AsyncIterable<string> {
    return this.#objects.foreignNames()
  }

  refresh(key: ObjectKey): Promise<void> {
    return this.#objects.refresh(key)
  }

  delete(key: ObjectKey): Promise<void> {
    return this.#objects.delete(key)
  }
}
