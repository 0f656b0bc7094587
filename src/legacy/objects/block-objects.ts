import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { collectBytes, type ByteStream } from '../../base/bytes.ts'
import { BlockRefSchema, type ObjectIndex, ObjectIndexSchema } from '../../gen/pfs_pb.ts'
import {
  isPlainTag,
  OldObjectNotFoundError,
  requireObjectHash,
  type OldObjects,
} from '../old-objects.ts'
import type { Blobs, BlobRange } from './blobs.ts'
import { OldDamageError } from '../damage.ts'
import { ObjectIndexes, type ObjectPlace } from './object-indexes.ts'

const referenceBytesMax = 64 * 1024
const indexBytesMax = 512 * 1024 * 1024
const prefixLength = 2

/**
 * The objects of a server that kept them in an object store: `object/<hash>` says where in which
 * `block/<id>` the bytes are, `tag/<name>` what a tag names, and `index/<first two characters>`,
 * where the store has been compacted, both for many.
 */
export class BlockObjects implements OldObjects {
  readonly name: string
  readonly #blobs: Blobs
  /** What those that have been read say; they are there only where somebody has compacted the store. */
  readonly #known = new ObjectIndexes()
  readonly #reads = new Map<string, Promise<void>>()
  #lastRead: Promise<unknown> = Promise.resolve()
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
    await this.#know(name)
    const indexed = this.#known.objectOf(name)
    if (indexed !== undefined) return indexed
    const stored = await this.#blobs.read(`tag/${name}`)
    if (stored === undefined) return undefined
    return (await this.#parse(`tag/${name}`, stored, referenceBytesMax, ObjectIndexSchema)).tags[
      name
    ]?.hash
  }

  async listTags(prefix: string, onTag: (name: string) => void): Promise<boolean> {
    for await (const key of this.#blobs.list(`tag/${prefix}`)) onTag(key.slice('tag/'.length))
    const index = await this.#readIndex(prefix.slice(0, prefixLength))
    for (const name of Object.keys(index?.tags ?? {})) if (name.startsWith(prefix)) onTag(name)
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #place(hash: string): Promise<{ readonly key: string; readonly range: BlobRange }> {
    requireObjectHash(hash)
    await this.#know(hash)
    const indexed = this.#known.placeOf(hash)
    if (indexed !== undefined) return placeOf(hash, indexed)
    const stored = await this.#blobs.read(`object/${hash}`)
    if (stored === undefined) {
      throw new OldObjectNotFoundError(`there is no object ${hash} in ${this.name}`)
    }
    const key = `object/${hash}`
    const { block, range } = await this.#parse(key, stored, referenceBytesMax, BlockRefSchema)
    const [lower, upper] = [Number(range?.lower ?? 0n), Number(range?.upper ?? 0n)]
    return placeOf(hash, { block: block?.hash ?? '', lower, upper })
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

  /** Each index is read once, one after the other: what is parsed takes many times its room. */
  async #know(name: string): Promise<void> {
    const prefix = name.slice(0, prefixLength)
    const known = this.#reads.get(prefix)
    if (known !== undefined) {
      await known
      return
    }
    const read = this.#lastRead.then(() => this.#addIndex(prefix))
    this.#reads.set(prefix, read)
    this.#lastRead = read.catch(() => undefined)
    await read
  }

  async #addIndex(prefix: string): Promise<void> {
    const index = await this.#readIndex(prefix)
    if (index !== undefined) this.#known.add(index)
  }

  async #findIndexes(): Promise<boolean> {
    for await (const _ of this.#blobs.list('index/')) return true
    return false
  }

  /** Undefined where there is none, which is the rule. */
  async #readIndex(prefix: string): Promise<ObjectIndex | undefined> {
    this.#hasIndexes ??= this.#findIndexes()
    if (!(await this.#hasIndexes)) return undefined
    const bytes = await this.#blobs.read(`index/${prefix}`)
    if (bytes === undefined) return undefined
    return await this.#parse(`index/${prefix}`, bytes, indexBytesMax, ObjectIndexSchema)
  }
}

function placeOf(
  hash: string,
  { block, lower, upper }: ObjectPlace,
): { readonly key: string; readonly range: BlobRange } {
  const isBlock = /^[0-9A-Za-z_-]{1,200}$/.test(block)
  if (!isBlock || upper < lower || upper > Number.MAX_SAFE_INTEGER) {
    throw new OldDamageError(`the place of object ${hash} makes no sense`)
  }
  return { key: `block/${block}`, range: { offset: lower, length: upper - lower } }
}
