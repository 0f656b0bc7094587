import type { Clock } from '../base/clock.ts'
import { type ByteStream, hexText } from '../base/bytes.ts'
import { DataLossError, InvalidArgumentError, NotFoundError } from '../base/errors.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import { type Content, contentSizeBytes, type Contents } from '../storage/contents.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { Lease, Leases } from '../storage/leases.ts'
import { type CommitTree, treeEntry } from './commit-records.ts'
import { findImportedObjects, findImportedTree } from './imports.ts'
import { contentOfName, objectName } from './object-names.ts'
import { findTree } from './records/tree-names.ts'
import { decodeContent, encodeContent } from './staging/staged-bytes.ts'
import { writeTreeMessage } from './tree-messages/write.ts'
import { noteDeletion } from './deletion-notes.ts'

export interface ObjectPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly trees: FileTrees
  readonly leases: Leases
  readonly clock: Clock
}

/** A name that somebody gave to an object. */
export interface ObjectTag {
  readonly name: string
  /** The object's. */
  readonly hash: string
}

export class ObjectNotFoundError extends NotFoundError {
  override readonly name = 'ObjectNotFoundError'
  readonly hash: string

  constructor(hash: string, options?: ErrorOptions) {
    super(`object ${hash} not found; list-object shows those that were put or tagged`, options)
    this.hash = hash
  }
}

export class TagNotFoundError extends NotFoundError {
  override readonly name = 'TagNotFoundError'
  readonly tag: string

  constructor(tag: string, options?: ErrorOptions) {
    super(`tag ${tag} not found; list-tag shows those that there are`, options)
    this.tag = tag
  }
}

/** What a name stands for. */
type ObjectSource =
  /** `isRow`: somebody has put it, or given it a tag; otherwise it belongs to something else. */
  | { readonly kind: 'content'; readonly content: Content; readonly isRow: boolean }
  /** The tree of a commit, which is read as a message. */
  | { readonly kind: 'tree'; readonly tree: CommitTree }

const pageRows = 1000
const tagLengthMax = 1024

/**
 * Contents that belong to no repo, each by its hash (lower-case hex), and names for them.
 *
 * Those with a tag stay until they are deleted, others for a day: see `ObjectCollection`. Equal
 * contents are one object. What `objectName` names can be read, too, for as long as something else
 * keeps it.
 */
export class Objects {
  readonly #ports: ObjectPorts

  constructor(ports: ObjectPorts) {
    this.#ports = ports
  }

  /** Stores the bytes and points the tags at them; durable when it resolves. Returns the hash. */
  async put(bytes: ByteStream, tags: () => readonly string[]): Promise<string> {
    const { clock, contents, chunks, database, leases } = this.#ports
    using _ = leases.begin()
    const content = await contents.write(bytes)
    const names = tags()
    checkTags(names)
    await chunks.flush()
    const hash = hexText(contents.hash(content))
    const row = encodeContent(content)
    const now = clock.now()
    await database.transact(async (tx) => {
      await tx.run(insertObject, hash, row, now)
      for (const name of names) await tx.run(setTag, name, hash)
    })
    return hash
  }

  /** The bytes of several objects, joined, from `offset`, at most `length` (0: to the end). */
  async *read(
    hashes: readonly string[],
    range?: { readonly offset?: number; readonly length?: number },
  ): AsyncGenerator<Uint8Array> {
    let skip = range?.offset ?? 0
    let left = range?.length || Number.MAX_SAFE_INTEGER
    using lease = this.#ports.leases.beginReading()
    for (const hash of hashes) {
      const source = await lease.acquire(() => this.#source(hash, lease))
      if (source.kind === 'tree') {
        for await (const piece of this.#messageOf(source.tree)) {
          const wanted = piece.subarray(skip, skip + left)
          skip = Math.max(0, skip - piece.length)
          left -= wanted.length
          if (wanted.length > 0) yield wanted
          if (left === 0) return
        }
        continue
      }
      const { content } = source
      const sizeBytes = contentSizeBytes(content)
      if (skip >= sizeBytes) {
        skip -= sizeBytes
        continue
      }
      const length = Math.min(left, sizeBytes - skip)
      yield* this.#ports.contents.read(content, { offset: skip, length })
      skip = 0
      left -= length
      if (left === 0) return
    }
  }

  /** @throws {ObjectNotFoundError} */
  async sizeBytes(hash: string): Promise<number> {
    using lease = this.#ports.leases.beginReading()
    const source = await lease.acquire(() => this.#source(hash, lease))
    if (source.kind === 'content') return contentSizeBytes(source.content)
    let sizeBytes = 0
    for await (const piece of this.#messageOf(source.tree)) sizeBytes += piece.length
    return sizeBytes
  }

  async exists(hash: string): Promise<boolean> {
    using lease = this.#ports.leases.beginReading()
    try {
      await lease.acquire(() => this.#source(hash, lease))
      return true
    } catch (error) {
      if (error instanceof ObjectNotFoundError) return false
      throw error
    }
  }

  /**
   * The content of an object, which is stored and stays while `lease`, which is for putting, lives.
   *
   * @throws {ObjectNotFoundError}
   */
  async keep(hash: string, lease: Lease): Promise<Content> {
    const source = await lease.acquire(() => this.#source(hash, lease))
    if (source.kind === 'tree') {
      return await this.#ports.contents.write(this.#messageOf(source.tree))
    }
    if (source.isRow) return source.content
    // Only the name says that it is there: each chunk is put again, so that the store has it.
    try {
      return await this.#ports.contents.write(this.#ports.contents.read(source.content))
    } catch (error) {
      if (error instanceof DataLossError) throw new ObjectNotFoundError(hash, { cause: error })
      throw error
    }
  }

  /** Points tags at an object, also those that pointed elsewhere. @throws {ObjectNotFoundError} */
  async tag(hash: string, names: readonly string[]): Promise<void> {
    checkTags(names)
    const { chunks, clock, database, leases } = this.#ports
    using lease = leases.begin()
    // From now on the tag keeps it, whatever becomes of the file or the commit that it was of.
    const row = encodeContent(await this.keep(hash, lease))
    await chunks.flush()
    const now = clock.now()
    await database.transact(async (tx) => {
      await tx.run(insertObject, hash, row, now)
      for (const name of names) await tx.run(setTag, name, hash)
    })
  }

  /** The hash of the object that a tag names. @throws {TagNotFoundError} */
  async resolveTag(name: string): Promise<string> {
    const tag = await this.#ports.database.read((tx) =>
      tx.get<{ readonly hash: string }>('SELECT hash FROM object_tags WHERE name = ?', name),
    )
    if (tag === undefined) throw new TagNotFoundError(name)
    return tag.hash
  }

  /** The hashes of all objects, sorted. One that is made meanwhile may be left out. */
  async *list(): AsyncGenerator<string> {
    for (let last = ''; ;) {
      const page = await this.#ports.database.read((tx) =>
        tx.all<{ readonly hash: string }>(
          'SELECT hash FROM objects WHERE hash > ? ORDER BY hash LIMIT ?',
          last,
          pageRows,
        ),
      )
      for (const { hash } of page) yield hash
      last = page.at(-1)?.hash ?? last
      if (page.length < pageRows) return
    }
  }

  /** The tags that start with `prefix`, sorted. One that is made meanwhile may be left out. */
  async *listTags(prefix: string): AsyncGenerator<ObjectTag> {
    for (let last = ''; ;) {
      const page = await this.#ports.database.read((tx) =>
        tx.all<{ readonly name: string; readonly hash: string }>(
          `SELECT name, hash FROM object_tags WHERE name > ? AND name >= ? ORDER BY name LIMIT ?`,
          last,
          prefix,
          pageRows,
        ),
      )
      for (const tag of page) {
        if (!tag.name.startsWith(prefix)) return
        yield tag
      }
      last = page.at(-1)?.name ?? last
      if (page.length < pageRows) return
    }
  }

  /** Forgets objects with the tags that name them; unknown ones are passed over. */
  async delete(hashes: readonly string[]): Promise<void> {
    await this.#ports.database.transact(
      async (tx) => {
        for (const hash of hashes) {
          await tx.run('DELETE FROM object_tags WHERE hash = ?', hash)
          await tx.run('DELETE FROM objects WHERE hash = ?', hash)
        }
        await noteDeletion(tx)
      },
      { usesReserve: true },
    )
  }

  /** Forgets tags, not their objects; unknown ones are passed over. */
  async deleteTags(names: readonly string[]): Promise<void> {
    await this.#ports.database.transact(
      async (tx) => {
        for (const name of names) await tx.run('DELETE FROM object_tags WHERE name = ?', name)
        await noteDeletion(tx)
      },
      { usesReserve: true },
    )
  }

  /** Finds what a name stands for; `lease` holds it. @throws {ObjectNotFoundError} */
  async #source(hash: string, lease: Lease): Promise<ObjectSource> {
    const { row, tree, imported } = await this.#ports.database.read(async (tx) => ({
      row: await findObject(tx, hash),
      tree: (await findTree(tx, hash)) ?? (await findTreeOfOldName(tx, hash)),
      imported: (await findImportedObjects(tx, [hash])).get(hash),
    }))
    if (row === undefined && tree !== undefined) {
      lease.hold({ kind: 'tree', root: tree.root })
      return { kind: 'tree', tree }
    }
    const named = imported ?? contentOfName(hash)
    const content = row === undefined ? named : decodeContent(row.content)
    if (content === undefined) throw new ObjectNotFoundError(hash)
    if (row === undefined) await this.#requireStored(hash, content)
    lease.hold({ kind: 'content', content })
    return { kind: 'content', content, isRow: row !== undefined }
  }

  /** As 1.5 stores trees. */
  #messageOf(tree: CommitTree): AsyncGenerator<Uint8Array> {
    return writeTreeMessage(this.#ports.trees, treeEntry(tree), objectName)
  }

  /** A name is only text: what it says may be gone, or never have been. */
  async #requireStored(hash: string, content: Content): Promise<void> {
    if (content.kind === 'inline') return
    try {
      const first = this.#ports.contents.read(content, { offset: content.sizeBytes - 1 })
      for await (const bytes of first) if (bytes.length === 1) return
    } catch (error) {
      if (error instanceof DataLossError) throw new ObjectNotFoundError(hash, { cause: error })
      throw error
    }
    throw new ObjectNotFoundError(hash)
  }
}

const insertObject = `INSERT INTO objects (hash, content, put_at) VALUES (?, ?, ?)
  ON CONFLICT (hash) DO UPDATE SET put_at = excluded.put_at`
const setTag = `INSERT INTO object_tags (name, hash) VALUES (?, ?)
  ON CONFLICT (name) DO UPDATE SET hash = excluded.hash`

type ObjectRow = { readonly content: Uint8Array }

async function findObject(tx: ReadTransaction, hash: string): Promise<ObjectRow | undefined> {
  return tx.get<ObjectRow>('SELECT content FROM objects WHERE hash = ?', hash)
}

/** The tree of a finished commit that had this name in an old cluster. */
async function findTreeOfOldName(
  tx: ReadTransaction,
  hash: string,
): Promise<CommitTree | undefined> {
  const imported = await findImportedTree(tx, hash)
  return imported && (await findTree(tx, imported.root))
}

function checkTags(names: readonly string[]): void {
  for (const name of names) {
    if (name === '') throw new InvalidArgumentError('a tag needs a name, but it is empty')
    if (name.includes('\0')) {
      throw new InvalidArgumentError(
        `tag ${JSON.stringify(name)} cannot contain a null character: leave it out`,
      )
    }
    if (name.length > tagLengthMax) {
      throw new InvalidArgumentError(
        `tag of ${name.length} characters is too long: at most ${tagLengthMax} are allowed`,
      )
    }
  }
}
