import { utf8Text } from '../../base/bytes.ts'
import { DataLossError } from '../../base/errors.ts'
import { equalBytes } from '../../base/bytes.ts'
import { contentSizeBytes } from '../contents.ts'
import {
  decodeTreeEntry,
  type DirectoryEntry,
  encodeTreeEntry,
  inlineNodeBytesMax,
  type TreeRoot,
} from '../tree-entries.ts'
import type { ContentCheck } from './content-check.ts'
import {
  MapCheck,
  type MapCheckPorts,
  type NodeSummary,
  type Totals,
  type Where,
} from './map-check.ts'

const nameBytesMax = 1024

/** Checks file trees: directories as maps, their sums, and the contents of files. */
export class TreeCheck {
  readonly #maps: MapCheck
  readonly #contents: ContentCheck
  readonly #isFull: boolean

  constructor(ports: MapCheckPorts, contents: ContentCheck) {
    this.#maps = new MapCheck(ports, async (key, value, where) => this.#entry(key, value, where))
    this.#contents = contents
    this.#isFull = ports.run.options.full
  }

  /** The whole tree. What its sums really are; undefined when something of it cannot be read. */
  async check(root: TreeRoot, where: Where): Promise<Totals | undefined> {
    const summary = await this.#maps.checkMap(root, where)
    return summary?.isWhole === true ? summary : undefined
  }

  /** @throws {DataLossError} */
  async #entry(key: Uint8Array, value: Uint8Array, above: Where): Promise<Totals | undefined> {
    const name = nameOf(key)
    const where = { ...above, path: `${above.path}/${name}` }
    return await this.checkEntry(value, where)
  }

  /** An encoded entry, wherever it is; a small directory is inline unless `mayBeRoot`. @throws {DataLossError} */
  async checkEntry(
    value: Uint8Array,
    where: Where,
    mayBeRoot = false,
  ): Promise<Totals | undefined> {
    const entry = decodeTreeEntry(value)
    if (this.#isFull && !equalBytes(encodeTreeEntry(entry), value)) {
      this.#maps.add('node-not-canonical', where, 'its entry is not written as it should be')
    }
    if (entry.kind === 'directory') return await this.#directory(entry, where, mayBeRoot)
    const isReadable = await this.#contents.check(entry.content, where)
    return isReadable ? { sizeBytes: contentSizeBytes(entry.content), fileCount: 1 } : undefined
  }

  async #directory(
    entry: DirectoryEntry,
    where: Where,
    mayBeRoot: boolean,
  ): Promise<Totals | undefined> {
    const { root, inlineNode, sizeBytes, fileCount } = entry
    const summary =
      inlineNode === undefined
        ? await this.#maps.checkMap(root, where)
        : await this.#maps.checkNode(root, inlineNode, where, true)
    if (summary === undefined || !summary.isWhole) return undefined
    const isRoot = mayBeRoot && inlineNode === undefined
    if (!isRoot) this.#checkInlining(summary, inlineNode !== undefined, where)
    if (summary.sizeBytes !== sizeBytes || summary.fileCount !== fileCount) {
      const has = `${summary.sizeBytes} bytes in ${summary.fileCount} files`
      this.#maps.add(
        'directory-sums-wrong',
        where,
        `it has ${has}, and ${sizeBytes} bytes in ${fileCount} files are said`,
      )
    }
    // What is said, so that one wrong sum is told once and not at all directories above.
    return { sizeBytes, fileCount }
  }

  #checkInlining(summary: NodeSummary, isInline: boolean, where: Where): void {
    const isSmall = summary.level === 0 && summary.encodedBytes <= inlineNodeBytesMax
    if (!this.#isFull || isSmall === isInline) return
    const what = isSmall ? 'a small directory is not in its parent' : 'a directory is in its parent'
    this.#maps.add('node-not-canonical', where, what)
  }
}

/** @throws {DataLossError} */
function nameOf(key: Uint8Array): string {
  let name: string
  try {
    name = utf8Text(key)
  } catch (error) {
    throw new DataLossError('a name is not UTF-8', { cause: error })
  }
  const isSound = key.length > 0 && key.length <= nameBytesMax && !/[/\0]/.test(name)
  if (isSound && name !== '.' && name !== '..') return name
  throw new DataLossError(`a name is none that a file can have: ${JSON.stringify(name)}`)
}
