import { collectBytes, compareBytes } from '../base/bytes.ts'
import { InvalidArgumentError, NotFoundError } from '../base/errors.ts'
import { pathKey, rootPath } from '../base/paths.ts'
import type { Database } from '../database/database.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { Content, Contents } from '../storage/contents.ts'
import type { FileTrees, TreeEdit } from '../storage/file-trees.ts'
import type { Lease, Leases } from '../storage/leases.ts'
import type { CommitTree } from './commit-records.ts'
import { ObjectNotFoundError, type Objects } from './objects.ts'
import { findTree } from './records/tree-names.ts'
import { type MessageNode, readTreeMessage } from './tree-messages/read.ts'

export interface StoredTreesPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly trees: FileTrees
  readonly leases: Leases
  readonly objects: Objects
}

/** A tree message is held in memory while it becomes a tree. */
const messageBytesMax = 64 * 1024 * 1024

/**
 * Trees by name: that which `CommitInfo.tree` gives them, or that of an object which holds a tree
 * message of 1.5.
 */
export class StoredTrees {
  readonly #ports: StoredTreesPorts

  constructor(ports: StoredTreesPorts) {
    this.#ports = ports
  }

  /**
   * Runs `use` with the tree that `name` names. Everything it refers to is stored, and stays so
   * until `use` has ended, whatever becomes of the commit or the object.
   *
   * @throws {NotFoundError} @throws {InvalidArgumentError} for an object that is no tree.
   */
  async with<Result>(name: string, use: (tree: CommitTree) => Promise<Result>): Promise<Result> {
    const { database, leases } = this.#ports
    using lease = leases.begin()
    const known = await lease.acquire(async () => {
      const found = await database.read((tx) => findTree(tx, name))
      if (found !== undefined) lease.hold({ kind: 'tree', root: found.root })
      return found
    })
    return await use(known ?? (await this.#treeOfMessage(name, lease)))
  }

  async #treeOfMessage(name: string, lease: Lease): Promise<CommitTree> {
    const { chunks, trees } = this.#ports
    const nodes = [...treeOf(name, await this.#messageOf(name))]
    const keyed = nodes.map((node) => ({ node, key: pathKey(node.path) }))
    keyed.sort((left, right) => compareBytes(left.key, right.key))
    const empty = await trees.emptyRoot()
    const edits = this.#edits(
      keyed.map(({ node }) => node),
      lease,
    )
    const tree = await trees.edit(empty, edits, { emptied: 'keep' })
    await chunks.flush()
    return tree
  }

  async #messageOf(name: string): Promise<Uint8Array> {
    const { objects } = this.#ports
    try {
      const sizeBytes = await objects.sizeBytes(name)
      if (sizeBytes > messageBytesMax) {
        throw new InvalidArgumentError(
          `object ${name} has ${sizeBytes} bytes, and a tree message may have ${messageBytesMax}: put the files into an open commit instead`,
        )
      }
      return await collectBytes(objects.read([name]), messageBytesMax)
    } catch (error) {
      if (!(error instanceof ObjectNotFoundError)) throw error
      throw new NotFoundError(
        `tree ${name} not found: give the tree of a finished commit of this server, as inspect-commit says it, or an object that holds a tree message`,
        { cause: error },
      )
    }
  }

  async *#edits(nodes: readonly MessageNode[], lease: Lease): AsyncGenerator<TreeEdit> {
    const empty = await this.#ports.trees.emptyRoot()
    for (const { path, objects } of nodes) {
      if (path === rootPath) continue
      if (objects === undefined) yield { path, entry: empty }
      else yield { path, entry: { kind: 'file', content: await this.#joined(objects, lease) } }
    }
  }

  async #joined(objects: readonly string[], lease: Lease): Promise<Content> {
    const { contents } = this.#ports
    let content = await contents.writeBytes(new Uint8Array(0))
    for (const hash of objects) {
      content = await contents.append(content, await this.#ports.objects.keep(hash, lease))
    }
    return content
  }
}

/** @throws {InvalidArgumentError} that says which object it is that is no tree. */
function treeOf(name: string, message: Uint8Array): readonly MessageNode[] {
  try {
    return readTreeMessage(message)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new InvalidArgumentError(
      `object ${name} is no tree (${error.message}): give the tree of a finished commit, as inspect-commit says it, or an object that holds a tree message`,
      { cause: error },
    )
  }
}
