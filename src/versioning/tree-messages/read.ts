import { InvalidArgumentError } from '../../base/errors.ts'
import { type FilePath, joinPath, parseFilePath, rootPath } from '../../base/paths.ts'
import { WireReader } from '../../base/wire-reader.ts'
import { tags, treeMessageVersion } from './tags.ts'

/** Paths, and objects of files, that are told in one message: a bound of the memory they take. */
const countMax = 400_000

/** A path of a tree message. */
export interface MessageNode {
  readonly path: FilePath
  /** The objects of a file, in order; undefined for a directory. */
  readonly objects: readonly string[] | undefined
  /** The names that a directory says it holds. */
  readonly children: readonly string[]
}

/**
 * The paths of a `HashTreeProto`, in no order. Hashes and sizes in it are not looked at: they follow
 * from the contents.
 *
 * @throws {InvalidArgumentError} for what is no such message, or holds less than it says.
 */
export function readTreeMessage(bytes: Uint8Array): readonly MessageNode[] {
  const reader = new WireReader([bytes])
  const nodes: MessageNode[] = []
  let version = 0
  let count = 0
  let childCount = 0
  while (!reader.atEnd) {
    switch (reader.tag()) {
      case tags.version:
        version = reader.int32()
        break
      case tags.entry:
        nodes.push(readEntry(reader))
        count += 1 + (nodes.at(-1)?.objects?.length ?? 0)
        childCount += nodes.at(-1)?.children.length ?? 0
        if (count > countMax || childCount > countMax) throw tooLarge()
        break
      default:
        reader.skip()
    }
  }
  if (version !== treeMessageVersion) {
    throw new InvalidArgumentError(
      `a tree message of version ${version}, and only version ${treeMessageVersion} is known`,
    )
  }
  requireWhole(nodes)
  return nodes
}

/** Part of a tree would be taken for the whole. */
function requireWhole(nodes: readonly MessageNode[]): void {
  const paths = new Set(nodes.map(({ path }) => path))
  for (const { path, objects, children } of nodes) {
    if (path === rootPath && objects !== undefined) {
      throw new InvalidArgumentError('the root of a tree message is a file; it must be a directory')
    }
    for (const name of children) {
      if (name !== '' && paths.has(joinPath(path, name))) continue
      throw new InvalidArgumentError(
        `the directory ${JSON.stringify(path || '/')} of a tree message holds ${JSON.stringify(name)}, of which the message says nothing`,
      )
    }
  }
}

function readEntry(reader: WireReader): MessageNode {
  let key = ''
  let node: Pick<MessageNode, 'objects' | 'children'> = { objects: undefined, children: [] }
  reader.message(() => {
    switch (reader.tag()) {
      case tags.key:
        key = reader.string()
        break
      case tags.node:
        node = readNode(reader)
        break
      default:
        reader.skip()
    }
  })
  return { path: parseFilePath(key), ...node }
}

function readNode(reader: WireReader): Pick<MessageNode, 'objects' | 'children'> {
  let objects: readonly string[] | undefined
  let children: readonly string[] = []
  reader.message(() => {
    switch (reader.tag()) {
      case tags.file:
        objects = readAll(reader, tags.object, () => readObject(reader))
        break
      case tags.directory:
        children = readAll(reader, tags.child, () => reader.string())
        break
      default:
        reader.skip()
    }
  })
  return { objects, children }
}

/** The values of one field of a message. */
function readAll(reader: WireReader, tag: number, read: () => string): readonly string[] {
  const found: string[] = []
  reader.message(() => {
    if (found.length > countMax) throw tooLarge()
    if (reader.tag() === tag) found.push(read())
    else reader.skip()
  })
  return found
}

function tooLarge(): InvalidArgumentError {
  return new InvalidArgumentError(
    `a tree message with more than ${countMax} paths and objects: put the files into an open commit instead`,
  )
}

function readObject(reader: WireReader): string {
  let hash = ''
  reader.message(() => {
    if (reader.tag() === tags.objectHash) hash = reader.string()
    else reader.skip()
  })
  return hash
}
