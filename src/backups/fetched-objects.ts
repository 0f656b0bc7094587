import { assert } from '../base/errors.ts'
import type { LocalObjectStore } from '../storage/local-objects.ts'
import type { ObjectInfo, ObjectKey, ObjectStore } from '../storage/object-store.ts'
import { damageOfPack } from '../storage/pack-bytes.ts'
import { damagedIn } from './restoring.ts'

/** The objects of a backup, to be read: each comes when it is needed first, and stays in `near`. */
export class FetchedObjects implements ObjectStore {
  readonly #near: LocalObjectStore
  readonly #fetch: (key: ObjectKey) => Promise<Uint8Array>
  readonly #coming = new Map<ObjectKey, Promise<void>>()

  constructor(near: LocalObjectStore, fetch: (key: ObjectKey) => Promise<Uint8Array>) {
    this.#near = near
    this.#fetch = fetch
  }

  async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    await this.#bring(key)
    return await this.#near.get(key, offset, length)
  }

  async getInto(key: ObjectKey, offset: number, into: Uint8Array): Promise<number> {
    await this.#bring(key)
    return await this.#near.getInto(key, offset, into)
  }

  async sizeBytes(key: ObjectKey): Promise<number> {
    await this.#bring(key)
    return await this.#near.sizeBytes(key)
  }

  /** Those that have come. */
  list(prefix: string): AsyncIterable<ObjectInfo> {
    return this.#near.list(prefix)
  }

  foreignNames(): AsyncIterable<string> {
    return this.#near.foreignNames()
  }

  async refresh(key: ObjectKey): Promise<void> {
    await this.#near.refresh(key)
  }

  async putIfAbsent(): Promise<never> {
    return await onlyRead()
  }

  async putFileIfAbsent(): Promise<never> {
    return await onlyRead()
  }

  async delete(): Promise<never> {
    return await onlyRead()
  }

  async #bring(key: ObjectKey): Promise<void> {
    const coming = this.#coming.get(key) ?? this.#take(key)
    this.#coming.set(key, coming)
    try {
      await coming
    } catch (error) {
      // It may be better later, with another copy of the backup.
      this.#coming.delete(key)
      throw error
    }
  }

  async #take(key: ObjectKey): Promise<void> {
    for await (const { key: known } of this.#near.list(key)) if (known === key) return
    const bytes = await this.#fetch(key)
    const [damage] = await damageOfPack(key.slice(-64), bytes, () => undefined)
    if (damage !== undefined) throw damagedIn(key, damage)
    await this.#near.putIfAbsent(key, [bytes])
  }
}

async function onlyRead(): Promise<never> {
  await Promise.resolve()
  assert(false, 'a backup is only read')
}
