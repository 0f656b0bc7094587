import { open, type FileHandle } from 'node:fs/promises'
import { OldDamageError } from '../damage.ts'

const magic = 0xed0cdaed
const version = 2
const headerBytes = 16
const elementBytes = 16
const metaBytes = 64
const branchFlag = 0x01
const leafFlag = 0x02
const metaFlag = 0x04
const bucketFlag = 0x01
const depthMax = 40
const pageSizes = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]
/** Of one page with those that it runs on into: a value may have hundreds of MiB, but not more. */
const pageBytesMax = 1 << 30

/** An entry of a bucket: views that are good until the next entry is asked for. */
export interface BoltEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

interface Page {
  readonly flags: number
  readonly count: number
  readonly bytes: DataView
}

interface Bucket {
  /** 0: the bucket is in `inline`. */
  readonly root: number
  readonly inline: Uint8Array | undefined
}

/**
 * Reads a file of bbolt, the embedded database that etcd keeps its keys in. Trusts nothing that the
 * file says: whatever leads out of the file or round in circles is damage, and what is not below it
 * is read all the same.
 */
export class BoltFile implements AsyncDisposable {
  readonly #file: FileHandle
  readonly #path: string
  readonly #sizeBytes: number
  readonly #pageBytes: number
  readonly #root: Bucket

  constructor(
    file: FileHandle,
    facts: { readonly path: string; readonly sizeBytes: number; readonly pageBytes: number },
    root: Bucket,
  ) {
    this.#file = file
    this.#path = facts.path
    this.#sizeBytes = facts.sizeBytes
    this.#pageBytes = facts.pageBytes
    this.#root = root
  }

  /** @throws {OldDamageError} when it is no such file, or neither of its two beginnings is whole. */
  static async open(path: string): Promise<BoltFile> {
    const file = await open(path, 'r')
    try {
      const { size: sizeBytes } = await file.stat()
      const meta = await newestMeta(file, path, sizeBytes)
      const root = { root: meta.root, inline: undefined }
      return new BoltFile(file, { path, sizeBytes, pageBytes: meta.pageBytes }, root)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }

  /** The entries of a bucket in the order of their keys; `onDamage` hears of pages that are passed over. */
  async *entries(bucket: string, onDamage: (reason: string) => void): AsyncGenerator<BoltEntry> {
    for await (const entry of this.#walk(this.#root, onDamage)) {
      if (entry.isBucket && Buffer.from(entry.key).toString('latin1') === bucket) {
        yield* this.#walk(bucketOf(entry.value), onDamage)
        return
      }
    }
    throw new OldDamageError(
      `${this.#path} holds no bucket ${JSON.stringify(bucket)}: it is no snapshot of etcd v3, or its beginning is damaged`,
    )
  }

  async *#walk(
    bucket: Bucket,
    onDamage: (reason: string) => void,
  ): AsyncGenerator<BoltEntry & { readonly isBucket: boolean }> {
    if (bucket.root === 0) {
      if (bucket.inline !== undefined) yield* leafEntries(pageOf(bucket.inline))
      return
    }
    const seen = new Set<number>()
    // The pages still to be read, the next one last.
    const stack = [{ id: bucket.root, depth: 0 }]
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { id, depth } = next
      try {
        if (seen.has(id)) throw new OldDamageError('it is named twice')
        if (depth > depthMax) throw new OldDamageError('the tree is too deep')
        seen.add(id)
        const page = await this.#page(id)
        if ((page.flags & branchFlag) !== 0) {
          const children = branchChildren(page).map((child) => ({ id: child, depth: depth + 1 }))
          stack.push(...children.toReversed())
        } else if ((page.flags & leafFlag) !== 0) {
          yield* leafEntries(page)
        } else throw new OldDamageError(`it is of kind ${page.flags}, which is none of a tree`)
      } catch (error) {
        if (!(error instanceof OldDamageError)) throw error
        onDamage(`page ${id} of ${this.#path} cannot be read: ${error.message}`)
      }
    }
  }

  async #page(id: number): Promise<Page> {
    const at = id * this.#pageBytes
    if (!(id >= 2 && at + this.#pageBytes <= this.#sizeBytes)) {
      throw new OldDamageError('it lies outside of the file')
    }
    const header = await read(this.#file, at, headerBytes)
    const view = viewOf(header)
    if (Number(view.getBigUint64(0, true)) !== id) {
      throw new OldDamageError('it calls itself by another number')
    }
    const bytes = (view.getUint32(12, true) + 1) * this.#pageBytes
    if (bytes > pageBytesMax || at + bytes > this.#sizeBytes) {
      throw new OldDamageError('it runs on beyond the end of the file')
    }
    return pageOf(await read(this.#file, at, bytes))
  }
}

async function read(file: FileHandle, at: number, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size)
  let done = 0
  while (done < size) {
    const { bytesRead } = await file.read(bytes, done, size - done, at + done)
    if (bytesRead === 0) throw new OldDamageError('the file is cut short')
    done += bytesRead
  }
  return bytes
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function pageOf(bytes: Uint8Array): Page {
  if (bytes.length < headerBytes) throw new OldDamageError('it is cut short')
  const view = viewOf(bytes)
  return { flags: view.getUint16(8, true), count: view.getUint16(10, true), bytes: view }
}

function branchChildren({ bytes, count }: Page): readonly number[] {
  return Array.from({ length: count }, (_, index) => {
    const element = elementAt(bytes, index)
    return Number(bytes.getBigUint64(element + 8, true))
  })
}

function* leafEntries({
  bytes,
  count,
}: Page): Generator<BoltEntry & { readonly isBucket: boolean }> {
  for (let index = 0; index < count; index += 1) {
    const element = elementAt(bytes, index)
    const flags = bytes.getUint32(element, true)
    const at = element + bytes.getUint32(element + 4, true)
    const keyBytes = bytes.getUint32(element + 8, true)
    const valueBytes = bytes.getUint32(element + 12, true)
    if (at + keyBytes + valueBytes > bytes.byteLength) {
      throw new OldDamageError(`its entry ${index} runs on beyond its end`)
    }
    const key = new Uint8Array(bytes.buffer, bytes.byteOffset + at, keyBytes)
    const value = new Uint8Array(bytes.buffer, bytes.byteOffset + at + keyBytes, valueBytes)
    yield { key, value, isBucket: (flags & bucketFlag) !== 0 }
  }
}

function elementAt(bytes: DataView, index: number): number {
  const element = headerBytes + index * elementBytes
  if (element + elementBytes > bytes.byteLength) {
    throw new OldDamageError(`its entry ${index} lies beyond its end`)
  }
  return element
}

function bucketOf(value: Uint8Array): Bucket {
  if (value.length < 16) throw new OldDamageError('a bucket is cut short')
  const root = Number(viewOf(value).getBigUint64(0, true))
  return { root, inline: root === 0 ? value.slice(16) : undefined }
}

interface Meta {
  readonly pageBytes: number
  readonly root: number
  readonly transaction: bigint
}

/** The file begins twice, and the newer one that is whole counts. */
async function newestMeta(file: FileHandle, path: string, sizeBytes: number): Promise<Meta> {
  const found: Meta[] = []
  for (const at of [0, ...pageSizes]) {
    if (at + headerBytes + metaBytes > sizeBytes) continue
    const meta = metaOf(await read(file, at, headerBytes + metaBytes))
    if (meta !== undefined) found.push(meta)
  }
  const newest = found.toSorted((left, right) => (left.transaction < right.transaction ? 1 : -1))[0]
  if (newest !== undefined) return newest
  throw new OldDamageError(
    `${path} is no snapshot of etcd v3: make one with ETCDCTL_API=3 etcdctl snapshot save FILE (a copy of its file member/snap/db will do, too)`,
  )
}

function metaOf(bytes: Uint8Array): Meta | undefined {
  const page = pageOf(bytes)
  const meta = viewOf(bytes.subarray(headerBytes))
  if ((page.flags & metaFlag) === 0) return undefined
  if (meta.getUint32(0, true) !== magic || meta.getUint32(4, true) !== version) return undefined
  const pageBytes = meta.getUint32(8, true)
  if (!pageSizes.includes(pageBytes)) return undefined
  const sumAt = 56
  if (meta.getBigUint64(sumAt, true) !== fnv64(bytes.subarray(headerBytes, headerBytes + sumAt))) {
    return undefined
  }
  return {
    pageBytes,
    root: Number(meta.getBigUint64(16, true)),
    transaction: meta.getBigUint64(48, true),
  }
}

/** FNV-1a of 64 bits. */
function fnv64(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash
}
