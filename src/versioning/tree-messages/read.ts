import { InvalidArgumentError } from '../../base/errors.ts'
import { type FilePath, parseFilePath } from '../../base/paths.ts'
import { WireReader } from '../../base/wire-reader.ts'
import { tags, treeMessageVersion } from './tags.ts'

/** Paths, and objects of files, that are told in one message: a bound of the memory they take. */
const countMax = 400_000

/** A path of a tree message. */
export interface MessageNode {
  readonly path: FilePath
  /** The objects of a file, in order; undefined for a directory. */
  readonly objects: readonly string[] | undefined
}

/**
 * The paths of a `HashTreeProto`, in no order. Hashes and sizes in it are not looked at: they follow
 * from the contents.
 *
 * @throws {InvalidArgumentError} for what is no such message.
 */
export function readTreeMessage(bytes: Uint8Array): readonly MessageNode[] {
  const reader = new WireReader([bytes])
  const nodes: MessageNode[] = []
  let version = 0
  let count = 0
  while (!reader.atEnd) {
    switch (reader.tag()) {
      case tags.version:
        version = reader.int32()
        break
      case tags.entry:
        nodes.push(readEntry(reader))
        count += 1 + (nodes.at(-1)?.objects?.length ?? 0)
        if (count > countMax) throw tooLarge()
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
  return nodes
}

function readEntry(reader: WireReader): MessageNode {
  let key = ''
  let objects: readonly string[] | undefined
  reader.message(() => {
    switch (reader.tag()) {
      case tags.key:
        key = reader.string()
        break
      case tags.node:
        objects = readNode(reader)
        break
      default:
        reader.skip()
    }
  })
  return { path: parseFilePath(key), objects }
}

function readNode(reader: WireReader): readonly string[] | undefined {
  let objects: string[] | undefined
  reader.message(() => {
    if (reader.tag() !== tags.file) {
      reader.skip()
      return
    }
    const found: string[] = []
    objects = found
    reader.message(() => {
      if (found.length > countMax) throw tooLarge()
      if (reader.tag() === tags.object) found.push(readObject(reader))
      else reader.skip()
    })
  })
  return objects
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
