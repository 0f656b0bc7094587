import type { Clock } from '../base/clock.ts'
import { type ByteStream, hexBytes, hexText } from '../base/bytes.ts'
import {
  DataLossError,
  InvalidArgumentError,
  NotFoundError,
  UnimplementedError,
} from '../base/errors.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import { contentHash } from '../storage/content-hash.ts'
import { type Content, contentSizeBytes, type Contents } from '../storage/contents.ts'
import type { Leases } from '../storage/leases.ts'
import { decodeContent, encodeContent } from './staging/staged-bytes.ts'

export interface ObjectPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
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
    super(`object ${hash} not found`, options)
    this.hash = hash
  }
}

export class TagNotFoundError extends NotFoundError {
  override readonly name = 'TagNotFoundError'
  readonly tag: string

  constructor(tag: string, options?: ErrorOptions) {
    super(`tag ${tag} not found`, options)
    this.tag = tag
  }
}

/** The version of the names that say where a content is. */
const nameVersion = '01'
const hashDigits = 64
/** Of an inline content, the longest: hash, version, tag, size and 64 bytes. */
const nameDigitsMax = hashDigits + 2 + 2 + 2 + 128

/**
 * The name of a content that no row knows, such as a file's: its hash, then in lower-case hex where
 * it is, so that whoever has the name can read it. Equal contents have equal names.
 */
export function objectName(content: Content): string {
  return `${hexText(contentHash(content))}${nameVersion}${hexText(encodeContent(content))}`
}

/** Undefined when `name` is none that `objectName` gives. */
function contentOfName(name: string): Content | undefined {
  if (name.length > nameDigitsMax || !/^[0-9a-f]{64}01([0-9a-f]{2})+$/.test(name)) return undefined
  try {
    const content = decodeContent(hexBytes(name.slice(hashDigits + nameVersion.length)))
    return objectName(content) === name ? content : undefined
  } catch (error) {
    if (error instanceof DataLossError) return undefined
    throw error
  }
}

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
      const content = await lease.acquire(async () => {
        const found = await this.#content(hash)
        lease.hold({ kind: 'content', content: found })
        return found
      })
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
    return contentSizeBytes(await this.#content(hash))
  }

  async exists(hash: string): Promise<boolean> {
    try {
      await this.#content(hash)
      return true
    } catch (error) {
      if (error instanceof ObjectNotFoundError || error instanceof UnimplementedError) return false
      throw error
    }
  }

  /** Points tags at an object, also those that pointed elsewhere. @throws {ObjectNotFoundError} */
  async tag(hash: string, names: readonly string[]): Promise<void> {
    checkTags(names)
    const { clock, database, leases } = this.#ports
    using _ = leases.begin()
    const content = await this.#content(hash)
    // From now on the tag keeps it, whatever becomes of the file that it was.
    const row = contentOfName(hash) === undefined ? undefined : await this.#keep(hash, content)
    const now = clock.now()
    await database.transact(async (tx) => {
      if (row !== undefined) await tx.run(insertObject, hash, row, now)
      else if ((await findObject(tx, hash)) === undefined) throw new ObjectNotFoundError(hash)
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
    await this.#ports.database.transact(async (tx) => {
      for (const hash of hashes) {
        await tx.run('DELETE FROM object_tags WHERE hash = ?', hash)
        await tx.run('DELETE FROM objects WHERE hash = ?', hash)
      }
    })
  }

  /** Forgets tags, not their objects; unknown ones are passed over. */
  async deleteTags(names: readonly string[]): Promise<void> {
    await this.#ports.database.transact(async (tx) => {
      for (const name of names) await tx.run('DELETE FROM object_tags WHERE name = ?', name)
    })
  }

  async #content(hash: string): Promise<Content> {
    const { row, isTree } = await this.#ports.database.read(async (tx) => ({
      row: await findObject(tx, hash),
      isTree: (await tx.get('SELECT 1 FROM commits WHERE root = ? LIMIT 1', hash)) !== undefined,
    }))
    if (row !== undefined) return decodeContent(row.content)
    if (isTree) {
      throw new UnimplementedError(
        `object ${hash} is the tree of a commit, which cannot be read as an object yet: list the files of the commit`,
      )
    }
    const content = contentOfName(hash)
    if (content === undefined) throw new ObjectNotFoundError(hash)
    await this.#requireStored(hash, content)
    return content
  }

  /**
   * A content that only its name is known of, as the column of a row. Each chunk is put again: then
   * the store has it, and keeps it.
   */
  async #keep(hash: string, content: Content): Promise<Uint8Array> {
    const { chunks, contents } = this.#ports
    try {
      await contents.write(contents.read(content))
      await chunks.flush()
      return encodeContent(content)
    } catch (error) {
      if (error instanceof DataLossError) throw new ObjectNotFoundError(hash, { cause: error })
      throw error
    }
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

function checkTags(names: readonly string[]): void {
  for (const name of names) {
    if (name === '') throw new InvalidArgumentError('a tag needs a name, but it is empty')
    if (name.length > tagLengthMax) {
      throw new InvalidArgumentError(
        `tag of ${name.length} characters is too long: at most ${tagLengthMax} are allowed`,
      )
    }
  }
}
