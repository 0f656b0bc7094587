import { concatBytes } from '../base/bytes.ts'
import type {
  CloudObject,
  NewObject,
  Placed,
  WholeBytes,
  WritableBucket,
} from '../clouds/bucket.ts'

/** A bucket in memory, that takes objects in parts of 1,000 bytes. */
export class MemoryBucket implements WritableBucket, Placed {
  readonly name = 's3://memory'
  endpoint = 'https://memory'
  readonly objects: Map<string, { readonly bytes: Uint8Array; readonly contentHash?: string }> =
    new Map()
  /** The keys that were written, in order. */
  readonly written: string[] = []
  /** Called before each call; may throw. A write waits for what it returns. */
  onCall: (call: 'list' | 'find' | 'read' | 'write' | 'delete', key: string) => unknown = () =>
    undefined
  #version = 0

  async *list(prefix: string): AsyncGenerator<CloudObject> {
    this.onCall('list', prefix)
    for (const key of [...this.objects.keys()].toSorted()) {
      const found = key.startsWith(prefix) ? this.#object(key) : undefined
      if (found !== undefined) yield found
    }
  }

  async find(key: string): Promise<CloudObject | undefined> {
    this.onCall('find', key)
    const { contentHash } = this.objects.get(key) ?? {}
    const found = this.#object(key)
    return found && contentHash !== undefined ? { ...found, contentHash } : found
  }

  async *read({ key }: CloudObject, offset: number): AsyncGenerator<Uint8Array> {
    this.onCall('read', key)
    const bytes = this.objects.get(key)?.bytes.subarray(offset) ?? new Uint8Array()
    for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700)
  }

  async write(object: NewObject): Promise<void> {
    const { key, sizeBytes, contentHash } = object
    const again = object.again ?? ((request) => request())
    await again(async () => this.onCall('write', key))
    const parts: Uint8Array[] = []
    for (let at = 0; at < sizeBytes; at += 1000) {
      parts.push(await object.read(at, Math.min(1000, sizeBytes - at)))
    }
    this.objects.set(key, { bytes: concatBytes(parts), contentHash })
    this.written.push(key)
    this.#version += 1
  }

  async create(key: string, { open }: WholeBytes): Promise<boolean> {
    await this.onCall('write', key)
    const bytes = concatBytes((await open().toArray()) as readonly Uint8Array[])
    if (this.objects.has(key)) return false
    this.objects.set(key, { bytes })
    this.written.push(key)
    this.#version += 1
    return true
  }

  async delete(key: string): Promise<void> {
    this.onCall('delete', key)
    this.objects.delete(key)
  }

  #object(key: string): CloudObject | undefined {
    const found = this.objects.get(key)
    return found && { key, sizeBytes: found.bytes.length, version: String(this.#version) }
  }
}
