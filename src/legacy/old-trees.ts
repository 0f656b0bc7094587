import { createHash } from 'node:crypto'
import { concatBytes, type ByteStream } from '../base/bytes.ts'
import { ResourceExhaustedError } from '../base/errors.ts'
import { type FilePath, parseFilePath } from '../base/paths.ts'
import { WireFormatError, WireReader } from '../base/wire-reader.ts'
import { OldDamageError } from './damage.ts'

/** A file or directory of an old tree. */
export interface OldNode {
  /** Empty for the root, else `/a/b`. */
  readonly path: FilePath
  /** 32 bytes; of a file it depends on how it was cut into objects. */
  readonly hash: Uint8Array
  readonly sizeBytes: number
  readonly kind: 'file' | 'directory'
  /** Of a file: joined, they are its content. */
  readonly objects: readonly string[]
  /** Of a directory. */
  readonly childCount: number
}

const treeVersion = 1
const [versionTag, entryTag] = [0x08, 0x12]
const [keyTag, valueTag] = [0x0a, 0x12]
/** A directory with a few million names. */
const nodeBytesMax = 256 * 1024 * 1024

/**
 * Reads a tree as 1.4 and 1.5 store it, node by node in the order in which they are stored, which is
 * none. Holds one node in memory.
 *
 * @throws {OldDamageError} for what is no tree.
 */
export async function* readOldTree(bytes: ByteStream): AsyncGenerator<OldNode> {
  await using source = new Pieces(bytes)
  let version = 0
  for (;;) {
    const tag = await source.varint()
    if (tag === undefined) break
    if (tag === versionTag) version = (await source.varint()) ?? 0
    else if (tag === entryTag) yield entryOf(await source.sized())
    else throw new OldDamageError(`a tree cannot be read: it has a field with the tag ${tag}`)
  }
  if (version !== treeVersion) {
    throw new OldDamageError(`a tree cannot be read: it is of version ${version}, not 1`)
  }
}

/** Takes numbers and sized parts from a stream, which is closed with it. */
class Pieces implements AsyncDisposable {
  readonly #pieces: AsyncIterator<Uint8Array>
  #piece: Uint8Array = new Uint8Array(0)
  #at = 0

  constructor(bytes: ByteStream) {
    this.#pieces = bytes[Symbol.asyncIterator]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pieces.return?.()
  }

  /** Undefined at the end. */
  async varint(): Promise<number | undefined> {
    let value = 0
    for (let scale = 1; scale <= 2 ** 49; scale *= 0x80) {
      if (this.#at === this.#piece.length && !(await this.#next())) {
        if (scale === 1) return undefined
        throw cutShort()
      }
      const byte = this.#piece[this.#at] ?? 0
      this.#at += 1
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw new OldDamageError('a tree cannot be read: a number in it is too large')
  }

  async sized(): Promise<Uint8Array> {
    const size = await this.varint()
    if (size === undefined) throw cutShort()
    if (size > nodeBytesMax) {
      throw new ResourceExhaustedError(`a node of a tree has ${size} bytes, which is too much`)
    }
    const parts: Uint8Array[] = []
    let left = size
    while (left > 0) {
      if (this.#at === this.#piece.length && !(await this.#next())) throw cutShort()
      const part = this.#piece.subarray(this.#at, this.#at + left)
      this.#at += part.length
      left -= part.length
      parts.push(part)
    }
    return concatBytes(parts)
  }

  async #next(): Promise<boolean> {
    for (;;) {
      const step = await this.#pieces.next()
      if (step.done === true) return false
      this.#piece = step.value
      this.#at = 0
      if (this.#piece.length > 0) return true
    }
  }
}

function cutShort(): OldDamageError {
  return new OldDamageError('a tree cannot be read: it is cut short')
}

function entryOf(bytes: Uint8Array): OldNode {
  const reader = new WireReader([bytes])
  let key = ''
  let node = emptyNode
  try {
    while (!reader.atEnd) {
      switch (reader.tag()) {
        case keyTag:
          key = reader.string()
          break
        case valueTag:
          node = nodeOf(reader)
          break
        default:
          reader.skip()
      }
    }
  } catch (error) {
    if (!(error instanceof WireFormatError)) throw error
    throw new OldDamageError(`a tree cannot be read: ${error.message}`, { cause: error })
  }
  const path = parseFilePath(key)
  if (String(path) !== key) {
    throw new OldDamageError(`a tree cannot be read: ${JSON.stringify(key)} is no path in it`)
  }
  return checkFileHash({ ...node, path })
}

const emptyNode: Omit<OldNode, 'path'> = {
  hash: new Uint8Array(0),
  sizeBytes: 0,
  kind: 'directory',
  objects: [],
  childCount: 0,
}

const [hashTag, sizeTag, fileTag, directoryTag] = [0x12, 0x18, 0x22, 0x2a]
const [objectsTag, childrenTag, objectHashTag] = [0x22, 0x1a, 0x0a]

function nodeOf(reader: WireReader): Omit<OldNode, 'path'> {
  const objects: string[] = []
  let { hash, sizeBytes, childCount } = emptyNode
  let kind: OldNode['kind'] | undefined
  reader.message(() => {
    switch (reader.tag()) {
      case hashTag:
        hash = new Uint8Array(concatBytes(reader.bytes()))
        break
      case sizeTag:
        sizeBytes = Number(reader.int64())
        break
      case fileTag:
        kind = 'file'
        reader.message(() => {
          if (reader.tag() === objectsTag) objects.push(objectOf(reader))
          else reader.skip()
        })
        break
      case directoryTag:
        kind = 'directory'
        reader.message(() => {
          if (reader.tag() === childrenTag) childCount += 1
          reader.skip()
        })
        break
      default:
        reader.skip()
    }
  })
  if (kind === undefined)
    throw new OldDamageError('a tree has a node that is neither file nor directory')
  return { hash, sizeBytes, kind, objects, childCount }
}

function objectOf(reader: WireReader): string {
  let hash = ''
  reader.message(() => {
    if (reader.tag() === objectHashTag) hash = reader.string()
    else reader.skip()
  })
  return hash
}

function checkFileHash(node: OldNode): OldNode {
  if (node.kind === 'directory') return node
  const hash = createHash('sha256')
  for (const object of node.objects) hash.update(object)
  if (hash.digest().compare(node.hash) === 0) return node
  throw new OldDamageError(`the hash of ${node.path} in a tree is not that of its objects`)
}
