import { utf8 } from '../../base/bytes.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import { baseName, type FilePath, rootPath } from '../../base/paths.ts'
import {
  fieldSize,
  optionalFieldSize,
  utf8Size,
  varintSize,
  WireWriter,
} from '../../base/wire-writer.ts'
import type { Content } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEntry } from '../../storage/file-trees.ts'
import { entryTotals } from '../../storage/tree-entries.ts'
import { tags, treeMessageVersion } from './tags.ts'

/** Of larger trees no message is made: nobody could hold it. */
const fileCountMax = 1_000_000
/** So much is gathered before it is handed on. */
const pieceBytes = 64 * 1024

/**
 * The tree as 1.5 stores it: a `HashTreeProto`, whose map comes in path order. Hashes are ours.
 * Holds no more than a piece in memory, whatever the tree's size.
 *
 * @param nameOf names a file's content as an object.
 * @throws {FailedPreconditionError} at the first pull, for a tree of more than a million files.
 */
export async function* writeTreeMessage(
  trees: FileTrees,
  root: DirectoryEntry,
  nameOf: (content: Content) => string,
): AsyncGenerator<Uint8Array> {
  if (root.fileCount > fileCountMax) {
    throw new FailedPreconditionError(
      `tree ${root.root} has ${root.fileCount} files, and no message is made of more than ${fileCountMax}: list the files of the commit instead`,
    )
  }
  const writer = new WireWriter()
  writer.varint(tags.version)
  writer.varint(treeMessageVersion)
  for await (const { path, entry } of trees.walk(root, { directories: true })) {
    yield* writeEntry(trees, writer, { path, entry, nameOf })
    if (writer.sizeBytes >= pieceBytes) yield* writer.take()
  }
  yield* writer.take()
}

interface MessageEntry {
  readonly path: FilePath
  readonly entry: TreeEntry
  readonly nameOf: (content: Content) => string
}

async function* writeEntry(
  trees: FileTrees,
  writer: WireWriter,
  { path, entry, nameOf }: MessageEntry,
): AsyncGenerator<Uint8Array> {
  const name = utf8(path === rootPath ? '' : baseName(path))
  const hash = trees.entryHash(entry)
  const { sizeBytes } = entryTotals(entry)
  const object = entry.kind === 'file' ? utf8(nameOf(entry.content)) : undefined
  const kindBytes =
    object === undefined ? await childrenSize(trees, entry) : fieldSize(fieldSize(object.length)) // the one object of the file
  const nodeBytes =
    optionalFieldSize(name.length) +
    fieldSize(hash.length) +
    1 +
    varintSize(sizeBytes) +
    fieldSize(kindBytes)
  const key = utf8(path)
  writer.varint(tags.entry)
  writer.varint(fieldSize(key.length) + fieldSize(nodeBytes))
  writeBytes(writer, tags.key, key)
  writer.varint(tags.node)
  writer.varint(nodeBytes)
  if (name.length > 0) writeBytes(writer, tags.name, name)
  writeBytes(writer, tags.hash, hash)
  writer.varint(tags.subtreeSize)
  writer.varint(sizeBytes)
  writer.varint(object === undefined ? tags.directory : tags.file)
  writer.varint(kindBytes)
  if (object !== undefined) {
    writer.varint(tags.object)
    writer.varint(fieldSize(object.length))
    writeBytes(writer, tags.objectHash, object)
  } else if (entry.kind === 'directory') {
    yield* writeChildren(trees, writer, entry)
  }
}

async function childrenSize(trees: FileTrees, entry: TreeEntry): Promise<number> {
  if (entry.kind === 'file') return 0
  let size = 0
  for await (const { name } of trees.list(entry, rootPath)) size += fieldSize(utf8Size(name))
  return size
}

async function* writeChildren(
  trees: FileTrees,
  writer: WireWriter,
  directory: DirectoryEntry,
): AsyncGenerator<Uint8Array> {
  for await (const { name } of trees.list(directory, rootPath)) {
    writeBytes(writer, tags.child, utf8(name))
    if (writer.sizeBytes >= pieceBytes) yield* writer.take()
  }
}

function writeBytes(writer: WireWriter, tag: number, bytes: Uint8Array): void {
  writer.varint(tag)
  writer.varint(bytes.length)
  writer.raw(bytes)
}
