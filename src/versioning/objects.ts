import { type ByteStream, hexText } from '../base/bytes.ts'
import { InvalidArgumentError, NotFoundError } from '../base/errors.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import { type Content, contentSizeBytes, type Contents } from '../storage/contents.ts'
import type { CollectionRoot } from './collection-roots.ts'
import { StagedBytesReader, StagedBytesWriter } from './staging/staged-bytes.ts'

export interface ObjectPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
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

const pageRows = 1000
const tagLengthMax = 1024

/**
 * Contents that belong to no repo, each by its hash (lower-case hex), and names for them.
 *
 * They stay until they are deleted. Equal contents are one object.
 */
export class Objects {
  readonly #ports: ObjectPorts

  constructor(ports: ObjectPorts) {
    this.#ports = ports
  }

  /** Stores the bytes and points the tags at them; durable when it resolves. Returns the hash. */
  async put(bytes: ByteStream, tags: () => readonly string[]): Promise<string> {
    const { contents, chunks, database } = this.#ports
    const content = await contents.write(bytes)
    const names = tags()
    checkTags(names)
    await chunks.flush()
    const hash = hexText(contents.hash(content))
    const row = encodeContent(content)
    await database.transact(async (tx) => {
      await tx.run(
        'INSERT INTO objects (hash, content) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING',
        hash,
        row,
      )
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
    for (const hash of hashes) {
      const content = await this.#content(hash)
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
    return this.#ports.database.read(async (tx) => (await findObject(tx, hash)) !== undefined)
  }

  /** Points tags at an object, also those that pointed elsewhere. @throws {ObjectNotFoundError} */
  async tag(hash: string, names: readonly string[]): Promise<void> {
    checkTags(names)
    await this.#ports.database.transact(async (tx) => {
      if ((await findObject(tx, hash)) === undefined) throw new ObjectNotFoundError(hash)
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

  /** What the objects keep alive in the chunk store. */
  async *collectionRoots(): AsyncGenerator<CollectionRoot> {
    for (let last = ''; ;) {
      const page = await this.#ports.database.read((tx) =>
        tx.all<{ readonly hash: string; readonly content: Uint8Array }>(
          'SELECT hash, content FROM objects WHERE hash > ? ORDER BY hash LIMIT ?',
          last,
          pageRows,
        ),
      )
      for (const { content } of page) yield { kind: 'content', content: decodeContent(content) }
      last = page.at(-1)?.hash ?? last
      if (page.length < pageRows) return
    }
  }

  async #content(hash: string): Promise<Content> {
    const row = await this.#ports.database.read((tx) => findObject(tx, hash))
    if (row === undefined) throw new ObjectNotFoundError(hash)
    return decodeContent(row.content)
  }
}

const setTag = `INSERT INTO object_tags (name, hash) VALUES (?, ?)
  ON CONFLICT (name) DO UPDATE SET hash = excluded.hash`

type ObjectRow = { readonly content: Uint8Array }

async function findObject(tx: ReadTransaction, hash: string): Promise<ObjectRow | undefined> {
  return tx.get<ObjectRow>('SELECT content FROM objects WHERE hash = ?', hash)
}

function decodeContent(row: Uint8Array): Content {
  return new StagedBytesReader(row).content()
}

function encodeContent(content: Content): Uint8Array {
  const writer = new StagedBytesWriter()
  writer.content(content)
  return writer.take()
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
