import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { toBinary, create } from '@bufbuild/protobuf'
import { concatBytes, utf8 } from '../base/bytes.ts'
import { KeyValueSchema } from '../gen/etcd_pb.ts'

const pageBytes = 4096
const headerBytes = 16
const elementBytes = 16
const [branchFlag, leafFlag, metaFlag, freelistFlag] = [0x01, 0x02, 0x04, 0x10]
const firstFreePage = 3

/** A write to etcd; without a value, a deletion. */
export interface OldWriteRecord {
  readonly key: string
  readonly value: Uint8Array | undefined
}

interface Entry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Writes a snapshot of an etcd to which `writes` were made, one revision each, as bbolt lays it out. */
export async function writeOldSnapshot(
  path: string,
  writes: readonly OldWriteRecord[],
): Promise<void> {
  const pages = new Pages()
  const entries = writes.map(({ key, value }, index): Entry => {
    const revision = index + 2
    const name = new Uint8Array(value === undefined ? 18 : 17)
    new DataView(name.buffer).setBigUint64(0, BigInt(revision))
    name[8] = '_'.charCodeAt(0)
    if (value === undefined) name[17] = 't'.charCodeAt(0)
    const record = create(KeyValueSchema, {
      key: utf8(key),
      value: value ?? new Uint8Array(0),
      modRevision: BigInt(revision),
    })
    return { key: name, value: toBinary(KeyValueSchema, record) }
  })
  const keyRoot = pages.tree(entries)
  const header = new Uint8Array(16)
  new DataView(header.buffer).setBigUint64(0, BigInt(keyRoot), true)
  const root = pages.leaf([{ key: utf8('key'), value: header }], 1)
  const bytes = concatBytes([meta(root, 0n), meta(root, 1n), freelist(), ...pages.all])
  const sum = createHash('sha256').update(bytes).digest()
  await writeFile(path, concatBytes([bytes, sum]))
}

/** Pages in the making, from the first that is free. */
class Pages {
  readonly all: Uint8Array[] = []
  #next = firstFreePage

  /** The root of a tree of leaves that hold `entries`, which are sorted. */
  tree(entries: readonly Entry[]): number {
    let level: { readonly key: Uint8Array; readonly id: number }[] = []
    for (const part of parted(entries, ({ key, value }) => key.length + value.length)) {
      level.push({ key: part[0]?.key ?? new Uint8Array(0), id: this.leaf(part, 0) })
    }
    while (level.length > 1) {
      const above: typeof level = []
      for (const part of parted(level, ({ key }) => key.length)) {
        above.push({ key: part[0]?.key ?? new Uint8Array(0), id: this.#branch(part) })
      }
      level = above
    }
    return level[0]?.id ?? 0
  }

  leaf(entries: readonly Entry[], flags: number): number {
    return this.#page(
      leafFlag,
      entries.map(({ key, value }) => ({
        parts: [key, value],
        write: (view, at, offset) => {
          view.setUint32(at, flags, true)
          view.setUint32(at + 4, offset, true)
          view.setUint32(at + 8, key.length, true)
          view.setUint32(at + 12, value.length, true)
        },
      })),
    )
  }

  #branch(children: readonly { readonly key: Uint8Array; readonly id: number }[]): number {
    return this.#page(
      branchFlag,
      children.map(({ key, id }) => ({
        parts: [key],
        write: (view, at, offset) => {
          view.setUint32(at, offset, true)
          view.setUint32(at + 4, key.length, true)
          view.setBigUint64(at + 8, BigInt(id), true)
        },
      })),
    )
  }

  #page(
    flag: number,
    elements: readonly {
      readonly parts: readonly Uint8Array[]
      readonly write: (view: DataView, at: number, offset: number) => void
    }[],
  ): number {
    const parts = elements.map((element) => concatBytes([new Uint8Array(0), ...element.parts]))
    const dataAt = headerBytes + elements.length * elementBytes
    const size = parts.reduce((sum, part) => sum + part.length, dataAt)
    const count = Math.ceil(size / pageBytes)
    const bytes = new Uint8Array(count * pageBytes)
    const view = new DataView(bytes.buffer)
    const id = this.#next
    view.setBigUint64(0, BigInt(id), true)
    view.setUint16(8, flag, true)
    view.setUint16(10, elements.length, true)
    view.setUint32(12, count - 1, true)
    let at = dataAt
    for (const [index, element] of elements.entries()) {
      const place = headerBytes + index * elementBytes
      element.write(view, place, at - place)
      bytes.set(parts[index] ?? new Uint8Array(0), at)
      at += parts[index]?.length ?? 0
    }
    this.all.push(bytes)
    this.#next += count
    return id
  }
}

/** Items in runs that fit into a page, each of at least one. */
function* parted<Item>(
  items: readonly Item[],
  sizeOf: (item: Item) => number,
): Generator<readonly Item[]> {
  let part: Item[] = []
  let size = headerBytes
  for (const item of items) {
    const more = sizeOf(item) + elementBytes
    if (part.length > 0 && size + more > pageBytes) {
      yield part
      part = []
      size = headerBytes
    }
    part.push(item)
    size += more
  }
  yield part
}

function meta(root: number, transaction: bigint): Uint8Array {
  const bytes = new Uint8Array(pageBytes)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, transaction, true)
  view.setUint16(8, metaFlag, true)
  view.setUint32(16, 0xed0cdaed, true)
  view.setUint32(20, 2, true)
  view.setUint32(24, pageBytes, true)
  view.setBigUint64(32, BigInt(root), true)
  view.setBigUint64(48, 2n, true)
  view.setBigUint64(64, transaction, true)
  let hash = 0xcbf29ce484222325n
  for (const byte of bytes.subarray(16, 72)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  }
  view.setBigUint64(72, hash, true)
  return bytes
}

function freelist(): Uint8Array {
  const bytes = new Uint8Array(pageBytes)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, 2n, true)
  view.setUint16(8, freelistFlag, true)
  return bytes
}
