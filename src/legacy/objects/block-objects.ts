import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { collectBytes, type ByteStream } from '../../base/bytes.ts'
import {
  type BlockRef,
  BlockRefSchema,
  type ObjectIndex,
  ObjectIndexSchema,
} from '../../gen/pfs_pb.ts'
import {
  isPlainTag,
  OldObjectNotFoundError,
  requireObjectHash,
  type OldObjects,
} from '../old-objects.ts'
import type { Blobs, BlobRange } from './blobs.ts'
import { OldDamageError } from '../damage.ts'

const referenceBytesMax = 64 * 1024
const indexBytesMax = 512 * 1024 * 1024
/** Indexes that are kept; they are there only where somebody has compacted the store. */
const indexCountMax = 64
const prefixLength = 2

/**
 * The objects of a server that kept them in an object store: `object/<hash>` says where in which
 * `block/<id>` the bytes are, `tag/<name>` what a tag names, and `index/<first two characters>`,
 * where the store has been compacted, both for many.
 */
export class BlockObjects implements OldObjects {
  readonly name: string
  readonly #blobs: Blobs
  readonly #indexes = new Map<string, Promise<ObjectIndex | undefined>>()
  #hasIndexes: Promise<boolean> | undefined

  constructor(blobs: Blobs) {
    this.name = blobs.name
    this.#blobs = blobs
  }

  async *read(hash: string): ByteStream {
    const { key, range } = await this.#place(hash)
    const bytes = await this.#blobs.read(key, range)
    if (bytes === undefined) {
      throw new OldObjectNotFoundError(`object ${hash} should be in ${key}, which is not there`)
    }
    yield* bytes
  }

  async sizeBytes(hash: string): Promise<number> {
    return (await this.#place(hash)).range.length
  }

  async findTag(name: string): Promise<string | undefined> {
    if (!isPlainTag(name)) return undefined
    const indexed = (await this.#index(name.slice(0, prefixLength)))?.tags[name]?.hash
    if (indexed !== undefined) return indexed
    const stored = await this.#blobs.read(`tag/${name}`)
    if (stored === undefined) return undefined
    return (await this.#parse(`tag/${name}`, stored, referenceBytesMax, ObjectIndexSchema)).tags[
      name
    ]?.hash
  }

  async listTags(prefix: string, onTag: (name: string) => void): Promise<boolean> {
    for await (const key of this.#blobs.list(`tag/${prefix}`)) onTag(key.slice('tag/'.length))
    const index = await this.#index(prefix.slice(0, prefixLength))
    for (const name of Object.keys(index?.tags ?? {})) if (name.startsWith(prefix)) onTag(name)
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #place(hash: string): Promise<{ readonly key: string; readonly range: BlobRange }> {
    requireObjectHash(hash)
    const indexed = (await this.#index(hash.slice(0, prefixLength)))?.objects[hash]
    if (indexed !== undefined) return placeOf(hash, indexed)
    const stored = await this.#blobs.read(`object/${hash}`)
    if (stored === undefined) {
      throw new OldObjectNotFoundError(`there is no object ${hash} in ${this.name}`)
    }
    const key = `object/${hash}`
    return placeOf(hash, await this.#parse(key, stored, referenceBytesMax, BlockRefSchema))
  }

  async #parse<Schema extends DescMessage>(
    key: string,
    stored: ByteStream,
    bytesMax: number,
    schema: Schema,
  ): Promise<MessageShape<Schema>> {
    // A store that cannot be read is another matter than what it holds.
    const bytes = await collectBytes(stored, bytesMax).catch((error: unknown) => {
      throw error instanceof RangeError ? this.#damaged(key, error) : error
    })
    try {
      return fromBinary(schema, bytes)
    } catch (error) {
      throw this.#damaged(key, error)
    }
  }

  #damaged(key: string, cause: unknown): OldDamageError {
    return new OldDamageError(`${key} in ${this.name} is not what it should be`, { cause })
  }

  /** Undefined where there is none, which is the rule. */
  async #index(prefix: string): Promise<ObjectIndex | undefined> {
    this.#hasIndexes ??= this.#findIndexes()
    if (!(await this.#hasIndexes)) return undefined
    const known = this.#indexes.get(prefix)
    const index = known ?? this.#readIndex(prefix)
    this.#indexes.delete(prefix)
    this.#indexes.set(prefix, index)
    const [oldest] = this.#indexes.keys()
    if (this.#indexes.size > indexCountMax && oldest !== undefined) this.#indexes.delete(oldest)
    return await index
  }

  async #findIndexes(): Promise<boolean> {
    for await (const _ of this.#blobs.list('index/')) return true
    return false
  }

  async #readIndex(prefix: string): Promise<ObjectIndex | undefined> {
    const bytes = await this.#blobs.read(`index/${prefix}`)
    if (bytes === undefined) return undefined
    return await this.#parse(`index/${prefix}`, bytes, indexBytesMax, ObjectIndexSchema)
  }
}

function placeOf(
  hash: string,
  { block, range }: BlockRef,
): { readonly key: string; readonly range: BlobRange } {
  const [lower, upper] = [Number(range?.lower ?? 0n), Number(range?.upper ?? 0n)]
  const isBlock = /^[0-9A-Za-z_-]{1,200}$/.test(block?.hash ?? '')
  if (!isBlock || upper < lower || upper > Number.MAX_SAFE_INTEGER) {
    throw new OldDamageError(`the place of object ${hash} makes no sense`)
  }
  return { key: `block/${block?.hash}`, range: { offset: lower, length: upper - lower } }
}
