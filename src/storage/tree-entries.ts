import { assert, DataLossError } from '../base/errors.ts'
import type { FilePath } from '../base/paths.ts'
import { chunkIdAt, chunkIdBytes, chunkIdBytesCount, chunkIdOf } from './chunk-id.ts'
import type { ChunkId } from './chunks.ts'
import { type Content, contentSizeBytes, inlineBytesMax } from './contents.ts'
import { varintSize, writeVarint } from '../base/wire-writer.ts'
import { FieldReader } from './prolly/varint.ts'

/** The root node of a directory's prolly tree: equal directories have equal roots. */
export type TreeRoot = ChunkId

export interface FileEntry {
  readonly kind: 'file'
  readonly content: Content
}

export interface DirectoryEntry {
  readonly kind: 'directory'
  readonly root: TreeRoot
  /** The encoded root node when it is small enough to ride in the parent directory. */
  readonly inlineNode?: Uint8Array
  /** Sum of the sizes of all files below. */
  readonly sizeBytes: number
  /** Count of all files below. */
  readonly fileCount: number
}

export type TreeEntry = FileEntry | DirectoryEntry

export interface NamedEntry {
  readonly name: string
  readonly entry: TreeEntry
}

export interface PathEntry {
  readonly path: FilePath
  readonly entry: TreeEntry
}

/** One path that differs: only in the old tree, only in the new one, or in both with other content. */
export interface PathDifference {
  readonly path: FilePath
  readonly before: TreeEntry | undefined
  readonly after: TreeEntry | undefined
}

/** Sets `path` to `entry` (a whole directory may be grafted), or removes what is there. */
export interface TreeEdit {
  readonly path: FilePath
  /** The `pathKey` of `path`, where it is known. */
  readonly key?: Uint8Array
  readonly entry: TreeEntry | undefined
}

/** A path that two trees changed differently since their base; undefined where it is absent. */
export interface TreeConflict {
  readonly path: FilePath
  readonly base: TreeEntry | undefined
  readonly ours: TreeEntry | undefined
  readonly theirs: TreeEntry | undefined
}

/** A directory whose tree is one leaf of at most this size rides in its parent. */
export const inlineNodeBytesMax = 1024

const tags = {
  inlineFile: 0x01,
  chunkFile: 0x02,
  listFile: 0x03,
  directory: 0x10,
  inlineDirectory: 0x11,
} as const

/** The value under an entry's name. A directory must come with its `inlineNode` if that is small. */
export function encodeTreeEntry(entry: TreeEntry): Uint8Array {
  if (entry.kind === 'file') return encodeContent(entry.content)
  const { sizeBytes, fileCount, inlineNode } = entry
  if (inlineNode === undefined) {
    return encodeFields(tags.directory, [sizeBytes, fileCount], chunkIdBytes(entry.root))
  }
  assert(inlineNode.length <= inlineNodeBytesMax, 'a large directory node is a chunk')
  return encodeFields(tags.inlineDirectory, [sizeBytes, fileCount], inlineNode)
}

function encodeContent(content: Content): Uint8Array {
  switch (content.kind) {
    case 'inline':
      assert(content.bytes.length <= inlineBytesMax, 'a large file is a chunk')
      return encodeFields(tags.inlineFile, [], content.bytes)
    case 'chunk':
      return encodeFields(tags.chunkFile, [content.sizeBytes], chunkIdBytes(content.chunk))
    case 'list':
      return encodeFields(tags.listFile, [content.sizeBytes], chunkIdBytes(content.root))
  }
}

function encodeFields(tag: number, numbers: readonly number[], tail: Uint8Array): Uint8Array {
  let size = 1
  for (const number of numbers) size += varintSize(number)
  const bytes = new Uint8Array(size + tail.length)
  bytes[0] = tag
  let at = 1
  for (const number of numbers) at = writeVarint(bytes, at, number)
  bytes.set(tail, at)
  return bytes
}

/** @throws {DataLossError} when `bytes` is no entry of this version. */
export function decodeTreeEntry(bytes: Uint8Array): TreeEntry {
  const reader = new FieldReader(bytes)
  const tag = bytes[reader.skip(1)]
  switch (tag) {
    case tags.inlineFile:
      return { kind: 'file', content: { kind: 'inline', bytes: rest(reader, inlineBytesMax) } }
    case tags.chunkFile: {
      const sizeBytes = reader.varint()
      return { kind: 'file', content: { kind: 'chunk', chunk: restId(reader), sizeBytes } }
    }
    case tags.listFile: {
      const sizeBytes = reader.varint()
      return { kind: 'file', content: { kind: 'list', root: restId(reader), sizeBytes } }
    }
    case tags.directory: {
      const [sizeBytes, fileCount] = [reader.varint(), reader.varint()]
      return { kind: 'directory', root: restId(reader), sizeBytes, fileCount }
    }
    case tags.inlineDirectory: {
      const [sizeBytes, fileCount] = [reader.varint(), reader.varint()]
      const inlineNode = rest(reader, inlineNodeBytesMax)
      return { kind: 'directory', root: chunkIdOf(inlineNode), inlineNode, sizeBytes, fileCount }
    }
    default:
      throw new DataLossError(`stored tree entry has the unknown kind ${tag}`)
  }
}

function rest(reader: FieldReader, bytesMax: number): Uint8Array {
  const size = reader.bytes.length - reader.offset
  if (size > bytesMax) throw new DataLossError(`stored tree entry is ${size} bytes too large`)
  return reader.take(size)
}

function restId(reader: FieldReader): ChunkId {
  const start = reader.skip(chunkIdBytesCount)
  if (reader.offset !== reader.bytes.length) {
    throw new DataLossError('stored tree entry has bytes behind its last field')
  }
  return chunkIdAt(reader.bytes, start)
}

/** What an entry adds to the directories above it. */
export interface EntryTotals {
  readonly isDirectory: boolean
  readonly sizeBytes: number
  readonly fileCount: number
}

export function entryTotals(entry: TreeEntry): EntryTotals {
  if (entry.kind === 'file') {
    return { isDirectory: false, sizeBytes: contentSizeBytes(entry.content), fileCount: 1 }
  }
  return { isDirectory: true, sizeBytes: entry.sizeBytes, fileCount: entry.fileCount }
}

/** The totals of an encoded entry, without hashing an inlined directory. */
export function encodedTotals(bytes: Uint8Array): EntryTotals {
  const tag = bytes[0]
  if (tag !== tags.directory && tag !== tags.inlineDirectory) {
    return entryTotals(decodeTreeEntry(bytes))
  }
  const reader = new FieldReader(bytes)
  reader.skip(1)
  return { isDirectory: true, sizeBytes: reader.varint(), fileCount: reader.varint() }
}
