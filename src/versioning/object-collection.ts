import type { Clock, Instant } from '../base/clock.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import type {
  CollectionRoot,
  CollectionRun,
  CollectionSource,
} from '../storage/collection-roots.ts'
import type { Content } from '../storage/contents.ts'
import { decodeContent } from './staging/staged-bytes.ts'

/** So long an object without a tag stays after it was put, so that it can become part of something. */
export const untaggedGraceMicros: number = 24 * 60 * 60 * 1_000_000

const pageRows = 500
/** Small objects that a strict collection looks for in all trees; beyond, they stay. */
const wantedInlineMax = 100_000

type ObjectRow = { readonly hash: string; readonly content: Uint8Array; readonly put_at: Instant }
type TagRow = { readonly name: string }

/**
 * What objects keep. Those with a tag stay, others for a day. A strict collection goes by the rules
 * of 1.5: a tag stays if it is that of a datum of a pipeline; an object stays with such a tag, or if
 * a file has its content. It must be asked last: it goes by what is marked.
 */
export class ObjectCollection implements CollectionSource {
  readonly #database: Database
  readonly #clock: Clock
  readonly #tagPrefixes: () => Promise<readonly string[]>

  /** `tagPrefixes` says how the tags of datums begin that can be reused. */
  constructor(ports: {
    readonly database: Database
    readonly clock: Clock
    readonly tagPrefixes: () => Promise<readonly string[]>
  }) {
    this.#database = ports.database
    this.#clock = ports.clock
    this.#tagPrefixes = ports.tagPrefixes
  }

  async prepare(run: CollectionRun): Promise<void> {
    if (!run.isStrict) return
    const { wantedInline } = run.inline
    for await (const page of this.#pages()) {
      for (const { content } of page) {
        const found = decodeContent(content)
        if (found.kind === 'inline') wantedInline.add(inlineText(found.bytes))
      }
      if (wantedInline.size >= wantedInlineMax) return
    }
  }

  async *collectionRoots(run: CollectionRun): AsyncGenerator<CollectionRoot> {
    const prefixes = run.isStrict ? await this.#tagPrefixes() : undefined
    if (prefixes !== undefined) await this.#removeTags(run, prefixes)
    const youngAt = this.#clock.now() - untaggedGraceMicros
    for await (const page of this.#pages()) {
      const needless = new Set<string>()
      for (const row of page) {
        const isNeeded = run.isStrict
          ? await isActive(run, decodeContent(row.content))
          : row.put_at > youngAt
        if (!isNeeded) needless.add(row.hash)
      }
      const removed = await this.#removeUntagged(run, [...needless], prefixes)
      run.removed('objects', removed.size)
      for (const { hash, content } of page) {
        if (!removed.has(hash)) yield { kind: 'content', content: decodeContent(content) }
      }
    }
  }

  async *#pages(): AsyncGenerator<readonly ObjectRow[]> {
    for (let after = ''; ;) {
      const last = after
      const page = await this.#database.read((tx) =>
        tx.all<ObjectRow>(
          'SELECT hash, content, put_at FROM objects WHERE hash > ? ORDER BY hash LIMIT ?',
          last,
          pageRows,
        ),
      )
      const end = page.at(-1)
      if (end === undefined) return
      yield page
      after = end.hash
    }
  }

  /** Removes those that have no tag that stays; returns which. */
  async #removeUntagged(
    run: CollectionRun,
    hashes: readonly string[],
    prefixes: readonly string[] | undefined,
  ): Promise<ReadonlySet<string>> {
    if (hashes.length === 0) return new Set()
    const untaggedOf = async (tx: ReadTransaction): Promise<ReadonlySet<string>> => {
      const untagged = new Set<string>()
      for (const hash of hashes) {
        const tags = await tx.all<TagRow>('SELECT name FROM object_tags WHERE hash = ?', hash)
        if (!tags.some(({ name }) => stays(name, prefixes))) untagged.add(hash)
      }
      return untagged
    }
    if (run.isRehearsal) return await this.#database.read(untaggedOf)
    return await this.#database.transact(
      async (tx) => {
        const untagged = await untaggedOf(tx)
        for (const hash of untagged) {
          await tx.run('DELETE FROM object_tags WHERE hash = ?', hash)
          await tx.run('DELETE FROM objects WHERE hash = ?', hash)
        }
        return untagged
      },
      { usesReserve: true },
    )
  }

  async #removeTags(run: CollectionRun, prefixes: readonly string[]): Promise<void> {
    for (let after = ''; ;) {
      const last = after
      const page = await this.#database.read((tx) =>
        tx.all<TagRow>(
          'SELECT name FROM object_tags WHERE name > ? ORDER BY name LIMIT ?',
          last,
          pageRows,
        ),
      )
      const end = page.at(-1)
      if (end === undefined) return
      after = end.name
      const gone = page.filter(({ name }) => !stays(name, prefixes))
      run.removed('tags', gone.length)
      if (run.isRehearsal || gone.length === 0) continue
      await this.#database.transact(
        async (tx) => {
          for (const { name } of gone) await tx.run('DELETE FROM object_tags WHERE name = ?', name)
        },
        { usesReserve: true },
      )
    }
  }
}

/** Whether a tag keeps its object: all do, unless only those that begin in some way are asked for. */
function stays(tag: string, prefixes: readonly string[] | undefined): boolean {
  return prefixes === undefined || prefixes.some((prefix) => tag.startsWith(prefix))
}

/** Whether a file has the content. */
async function isActive(run: CollectionRun, content: Content): Promise<boolean> {
  const { wantedInline, seenInline } = run.inline
  switch (content.kind) {
    case 'inline': {
      const text = inlineText(content.bytes)
      // What was put since the search began is left alone.
      return seenInline.has(text) || !wantedInline.has(text)
    }
    case 'chunk':
      return await run.isMarked(content.chunk)
    case 'list':
      return await run.isMarked(content.root)
    default:
      return content satisfies never
  }
}

function inlineText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}
