import { createHash } from 'node:crypto'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { concatBytes, utf8 } from '../base/bytes.ts'
import { BlockRefSchema, ObjectIndexSchema } from '../gen/pfs_pb.ts'
import { writeOldSnapshot, type OldWriteRecord } from './old-snapshot.ts'
import { oldText } from './old-text.ts'

/** How a server kept objects: as files; in blocks with a reference each; in one block with indexes. */
export type OldLayout = 'files' | 'blocks' | 'compacted'

/** A file of a commit: the contents that were put to it, one after the other. */
export type OldFiles = ReadonlyMap<string, readonly string[]>

interface Place {
  readonly block: string
  readonly lower: number
  readonly upper: number
}

/** Writes a cluster in the formats of 1.4 (text) or 1.5 (binary), as the old servers lay it out. */
export class OldClusterWriter {
  readonly etcd: string
  readonly storage: string
  readonly #layout: OldLayout
  readonly #isText: boolean
  readonly #writes: OldWriteRecord[] = []
  readonly #places = new Map<string, Place>()
  readonly #tags = new Map<string, string>()
  readonly #block: Uint8Array[] = []
  #blockBytes = 0

  constructor(
    directory: string,
    { layout, isText }: { readonly layout: OldLayout; readonly isText: boolean },
  ) {
    this.etcd = join(directory, 'etcd.snapshot.db')
    this.storage = join(directory, 'storage')
    this.#layout = layout
    this.#isText = isText
  }

  async begin(): Promise<void> {
    for (const name of ['object', 'tag', 'block', 'index']) {
      if (name === 'index' && this.#layout === 'files') continue
      await mkdir(join(this.storage, name), { recursive: true })
    }
  }

  /** A record of the metadata store. */
  record<Schema extends DescMessage>(
    key: string,
    schema: Schema,
    init: MessageInitShape<Schema>,
  ): void {
    const message = create(schema, init)
    const value = this.#isText ? oldText(schema, message) : toBinary(schema, message)
    this.#writes.push({ key, value })
  }

  /** A value that is not a message. */
  raw(key: string, value: Uint8Array | undefined): void {
    this.#writes.push({ key, value })
  }

  async putObject(bytes: Uint8Array): Promise<string> {
    const hash = createHash('sha512').update(bytes).digest('hex')
    if (this.#places.has(hash)) return hash
    const block = createHash('md5').update(hash).digest('hex')
    switch (this.#layout) {
      case 'files':
        this.#places.set(hash, { block, lower: 0, upper: bytes.length })
        await writeFile(join(this.storage, 'object', hash), bytes)
        break
      case 'blocks': {
        const place = { block, lower: 0, upper: bytes.length }
        this.#places.set(hash, place)
        await writeFile(join(this.storage, 'block', block), bytes)
        await writeFile(join(this.storage, 'object', hash), referenceBytes(place))
        break
      }
      case 'compacted':
        this.#places.set(hash, {
          block: compactedBlock,
          lower: this.#blockBytes,
          upper: this.#blockBytes + bytes.length,
        })
        this.#block.push(bytes)
        this.#blockBytes += bytes.length
    }
    return hash
  }

  async putTag(name: string, hash: string): Promise<void> {
    this.#tags.set(name, hash)
    const path = join(this.storage, 'tag', name)
    if (this.#layout === 'files') await symlink(`/pach/object/${hash}`, path)
    if (this.#layout !== 'blocks') return
    const index = create(ObjectIndexSchema, { tags: { [name]: { hash } } })
    await writeFile(path, toBinary(ObjectIndexSchema, index))
  }

  /** The object that holds the tree of `files` and of empty directories. */
  async putTree(
    files: OldFiles,
    emptyDirectories: readonly string[] = [],
  ): Promise<{ readonly hash: string; readonly sizeBytes: number; readonly nodes: OldNodes }> {
    const nodes = treeNodes(files, emptyDirectories, (hash) => this.#sizeOf(hash))
    const hash = await this.putObject(treeBytes(nodes))
    return { hash, sizeBytes: nodes.get('')?.sizeBytes ?? 0, nodes }
  }

  async finish(): Promise<void> {
    if (this.#layout === 'compacted') await this.#writeIndexes()
    await writeOldSnapshot(this.etcd, this.#writes)
  }

  #sizeOf(hash: string): number {
    const place = this.#places.get(hash)
    if (place === undefined) throw new Error(`no object ${hash}`)
    return place.upper - place.lower
  }

  async #writeIndexes(): Promise<void> {
    await writeFile(join(this.storage, 'block', compactedBlock), concatBytes(this.#block))
    const prefixes = new Set(
      [...this.#places.keys(), ...this.#tags.keys()].map((name) => name.slice(0, 2)),
    )
    for (const prefix of prefixes) {
      const index = create(ObjectIndexSchema)
      for (const [hash, { block, lower, upper }] of this.#places) {
        if (!hash.startsWith(prefix)) continue
        const range = { lower: BigInt(lower), upper: BigInt(upper) }
        index.objects[hash] = create(BlockRefSchema, { block: { hash: block }, range })
      }
      const tags = [...this.#tags].filter(([name]) => name.startsWith(prefix))
      const whole = create(ObjectIndexSchema, {
        objects: index.objects,
        tags: Object.fromEntries(tags.map(([name, hash]) => [name, { hash }])),
      })
      await writeFile(join(this.storage, 'index', prefix), toBinary(ObjectIndexSchema, whole))
    }
  }
}

const compactedBlock = 'c0'.repeat(16)

function referenceBytes({ block, lower, upper }: Place): Uint8Array {
  const range = { lower: BigInt(lower), upper: BigInt(upper) }
  return toBinary(BlockRefSchema, create(BlockRefSchema, { block: { hash: block }, range }))
}

interface OldNode {
  readonly name: string
  readonly hash: Uint8Array
  readonly sizeBytes: number
  readonly objects?: readonly string[]
  readonly children?: readonly string[]
}

export type OldNodes = ReadonlyMap<string, OldNode>

/** All nodes by path, with hashes as 1.4 and 1.5 make them. */
function treeNodes(
  files: OldFiles,
  emptyDirectories: readonly string[],
  sizeOf: (hash: string) => number,
): OldNodes {
  const children = new Map<string, Set<string>>([['', new Set()]])
  const addBelow = (path: string): void => {
    const slash = path.lastIndexOf('/')
    const above = path.slice(0, slash)
    const known = children.get(above)
    if (known !== undefined) {
      known.add(path.slice(slash + 1))
      return
    }
    children.set(above, new Set([path.slice(slash + 1)]))
    addBelow(above)
  }
  for (const path of files.keys()) addBelow(path)
  for (const path of emptyDirectories) {
    if (children.has(path)) continue
    children.set(path, new Set())
    addBelow(path)
  }
  const nodes = new Map<string, OldNode>()
  for (const [path, objects] of files) {
    const hash = createHash('sha256')
    for (const object of objects) hash.update(object)
    const sizeBytes = objects.reduce((sum, object) => sum + sizeOf(object), 0)
    nodes.set(path, { name: nameOf(path), hash: hash.digest(), sizeBytes, objects })
  }
  const byDepth = [...children.keys()].toSorted(
    (left, right) => right.split('/').length - left.split('/').length,
  )
  for (const path of byDepth) {
    const names = [...(children.get(path) ?? [])].toSorted((left, right) =>
      Buffer.compare(Buffer.from(left), Buffer.from(right)),
    )
    const hash = createHash('sha256')
    let sizeBytes = 0
    for (const name of names) {
      const child = nodes.get(`${path}/${name}`)
      hash
        .update(`${name}:`)
        .update(child?.hash ?? '')
        .update(':')
      sizeBytes += child?.sizeBytes ?? 0
    }
    nodes.set(path, { name: nameOf(path), hash: hash.digest(), sizeBytes, children: names })
  }
  return nodes
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** HashTreeProto, with the map in the order in which the nodes come. */
function treeBytes(nodes: OldNodes): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(0x08, 1)]
  for (const [path, node] of nodes) {
    const value = concatBytes([
      sized(0x0a, utf8(node.name)),
      sized(0x12, node.hash),
      ...(node.sizeBytes === 0 ? [] : [Uint8Array.of(0x18), varint(node.sizeBytes)]),
      node.objects === undefined
        ? sized(
            0x2a,
            concatBytes([
              new Uint8Array(0),
              ...(node.children ?? []).map((name) => sized(0x1a, utf8(name))),
            ]),
          )
        : sized(
            0x22,
            concatBytes([
              new Uint8Array(0),
              ...node.objects.map((hash) => sized(0x22, sized(0x0a, utf8(hash)))),
            ]),
          ),
    ])
    parts.push(sized(0x12, concatBytes([sized(0x0a, utf8(path)), sized(0x12, value)])))
  }
  return concatBytes(parts)
}

function sized(tag: number, bytes: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(tag), varint(bytes.length), bytes])
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}
