import { compareBytes } from '../../base/bytes.ts'
import { type FilePath, pathKey, rootPath } from '../../base/paths.ts'
import type { Database } from '../../database/database.ts'
import { type OldNode, readOldTree } from '../../legacy/old-trees.ts'
import type { ChunkStore } from '../../storage/chunks.ts'
import { contentSizeBytes, type Content } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEntry } from '../../storage/file-trees.ts'
import type { CommitTree } from '../../versioning/commit-records.ts'
import { UnsortedTree } from '../../versioning/unsorted-trees.ts'
import type { OldObjects } from '../../legacy/old-objects.ts'
import {
  type ContentImport,
  type ContentImportPorts,
  type Intake,
  verified,
} from './content-import.ts'
import { isDamage } from '../findings.ts'
import { OldDamageError } from '../../legacy/damage.ts'

/** Nodes that are held while their contents come. */
const batchNodesMax = 4000
const batchObjectsMax = 16_000

export interface TreeImportPorts extends ContentImportPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly objects: OldObjects
  readonly trees: FileTrees
  readonly content: ContentImport
}

/** Brings trees over, each once. */
export class TreeImport {
  readonly #ports: TreeImportPorts
  /** Those that come, and those that are damaged or of which files are missing, which are not recorded. */
  readonly #known = new Map<string, Promise<CommitTree | undefined>>()
  /** By the names of trees in which files are missing, who has been told which. */
  readonly #lossy = new Map<string, string>()

  constructor(ports: TreeImportPorts) {
    this.#ports = ports
  }

  /**
   * The tree that an old object holds; undefined when that is damaged, which then has been told. Files
   * whose contents are damaged are left out, and told: `owner` says whose they are.
   */
  treeOf(hash: string, owner: string): Promise<CommitTree | undefined> {
    const known = this.#known.get(hash)
    if (known !== undefined) return known
    const coming = this.#bring(hash, owner)
    // Whoever asks is told.
    coming.catch(() => undefined)
    this.#known.set(hash, coming)
    return coming
  }

  /** Whether the tree that came of an object can be found again, so that nobody need hold it. */
  isRecorded(hash: string): boolean {
    return !this.#known.has(hash)
  }

  /** Whose files were told of that are missing in a tree that came; undefined when none is. */
  toldOf(hash: string): string | undefined {
    return this.#lossy.get(hash)
  }

  /** Resolves when nothing is on its way any more. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#known.values())
  }

  async #bring(hash: string, owner: string): Promise<CommitTree | undefined> {
    const { findings, recorder } = this.#ports
    const known = await recorder.findTree(hash)
    if (known !== undefined) {
      this.#known.delete(hash)
      return known
    }
    try {
      return await this.#import(hash, owner)
    } catch (error) {
      if (!isDamage(error)) throw error
      findings.damage('tree', hash, `the tree of ${owner} cannot be read: ${error.message}`)
      return undefined
    }
  }

  async #import(hash: string, owner: string): Promise<CommitTree> {
    const { objects, recorder, trees } = this.#ports
    const build = new TreeBuild(this.#ports, await trees.emptyRoot(), owner)
    for await (const node of readOldTree(verified(hash, objects.read(hash)))) {
      await build.add(node)
    }
    const tree = await build.end()
    if (build.isLossy) {
      this.#lossy.set(hash, owner)
      return tree
    }
    await recorder.addTree(hash, tree)
    this.#known.delete(hash)
    return tree
  }
}

interface NewEntry {
  readonly path: FilePath
  readonly entry: TreeEntry
}

/** One tree in the making: nodes come in no order, and their contents come batch by batch. */
class TreeBuild {
  readonly #ports: TreeImportPorts
  readonly #empty: DirectoryEntry
  readonly #owner: string
  /** Undefined while one batch holds all. */
  #waiting: UnsortedTree | undefined
  #batch: OldNode[] = []
  #batchObjects = 0
  #nodeCount = 0
  #childCount = 0
  #rootSizeBytes: number | undefined
  /** Files are left out, whose contents are damaged. */
  isLossy = false

  constructor(ports: TreeImportPorts, empty: DirectoryEntry, owner: string) {
    this.#ports = ports
    this.#empty = empty
    this.#owner = owner
  }

  async add(node: OldNode): Promise<void> {
    this.#nodeCount += 1
    this.#childCount += node.childCount
    if (node.path === rootPath) {
      if (node.kind === 'file') throw new OldDamageError('its root is a file')
      this.#rootSizeBytes = node.sizeBytes
      return
    }
    if (node.kind === 'directory' && node.childCount > 0) return // it is there by what is in it
    this.#batch.push(node)
    this.#batchObjects += node.objects.length
    if (this.#batch.length >= batchNodesMax || this.#batchObjects >= batchObjectsMax) {
      this.#waiting ??= new UnsortedTree(this.#ports)
      for (const { path, entry } of await this.#bringBatch()) await this.#waiting.add(path, entry)
    }
  }

  /** @throws {OldDamageError} unless the nodes are those of one tree, all of it. */
  async end(): Promise<CommitTree> {
    const last = await this.#bringBatch()
    if (this.#rootSizeBytes === undefined) throw new OldDamageError('it has no root')
    if (this.#childCount !== this.#nodeCount - 1) {
      throw new OldDamageError(
        `its directories name ${this.#childCount} entries, and it has ${this.#nodeCount - 1}`,
      )
    }
    const { root, sizeBytes, fileCount } = await this.#treeWith(last)
    if (!this.isLossy && sizeBytes !== this.#rootSizeBytes) {
      throw new OldDamageError(
        `its files have ${sizeBytes} bytes, and it says ${this.#rootSizeBytes}`,
      )
    }
    return { root, sizeBytes, fileCount }
  }

  async #treeWith(last: readonly NewEntry[]): Promise<DirectoryEntry> {
    const { trees } = this.#ports
    if (this.#waiting !== undefined) {
      for (const { path, entry } of last) await this.#waiting.add(path, entry)
      return await this.#waiting.build()
    }
    const keyed = last.map((edit) => ({ ...edit, key: pathKey(edit.path) }))
    keyed.sort((left, right) => compareBytes(left.key, right.key))
    return await trees.edit(this.#empty, keyed, { emptied: 'keep' })
  }

  async #bringBatch(): Promise<readonly NewEntry[]> {
    const nodes = this.#batch
    this.#batch = []
    this.#batchObjects = 0
    const contents = await this.#ports.content.contentsOf(nodes.flatMap(({ objects }) => objects))
    const entries: NewEntry[] = []
    for (const node of nodes) {
      const entry = node.kind === 'directory' ? this.#empty : await this.#fileOf(node, contents)
      if (entry !== undefined) entries.push({ path: node.path, entry })
    }
    await this.#ports.findings.room()
    return entries
  }

  async #fileOf(
    { path, objects, sizeBytes }: OldNode,
    contents: ReadonlyMap<string, Content>,
  ): Promise<TreeEntry | undefined> {
    const content = await joinedContent(this.#ports.intake, objects, contents)
    if (content === undefined) {
      this.#lose(path, 'an object of its content is damaged')
      return undefined
    }
    if (contentSizeBytes(content) === sizeBytes) return { kind: 'file', content }
    this.#lose(path, `it has ${contentSizeBytes(content)} bytes, and should have ${sizeBytes}`)
    return undefined
  }

  #lose(path: FilePath, reason: string): void {
    this.isLossy = true
    this.#ports.findings.damage('file', `${this.#owner}:${path}`, reason)
  }
}

const emptyContent: Content = { kind: 'inline', bytes: new Uint8Array(0) }

/** The content of several objects, one after the other; undefined when one is missing. */
export async function joinedContent(
  intake: Pick<Intake, 'append'>,
  hashes: readonly string[],
  found: ReadonlyMap<string, Content>,
): Promise<Content | undefined> {
  const parts: Content[] = []
  for (const hash of hashes) {
    const part = found.get(hash)
    if (part === undefined) return undefined
    parts.push(part)
  }
  const [first, ...rest] = parts
  let content = first ?? emptyContent
  for (const part of rest) content = await intake.append(content, part)
  return content
}
