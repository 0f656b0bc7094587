import { compareBytes, utf8 } from '../base/bytes.ts'
import { joinPath, parseFilePath, rootPath } from '../base/paths.ts'
import { contentSizeBytes, type Content } from '../storage/contents.ts'
import type { DirectoryEntry, FileTrees, NamedEntry } from '../storage/file-trees.ts'
import type { Files } from './files.ts'
import type { VersioningPorts } from './ports.ts'
import { checkCancelled } from './records/cancellation.ts'

/** What is found below a prefix. A *key* is a path without the slash at its front. */
export type ListedKey =
  | {
      readonly kind: 'file'
      readonly key: string
      readonly sizeBytes: number
      readonly hash: Uint8Array
    }
  /** A directory with nothing in it; its key ends with a slash. */
  | { readonly kind: 'empty-directory'; readonly key: string }
  /** A directory that was not looked into; ends with a slash. */
  | { readonly kind: 'prefix'; readonly key: string }

export interface KeySelection {
  readonly prefix: string
  /** Only keys behind this one. */
  readonly after?: string | undefined
  /** Directories below the prefix are not looked into. */
  readonly isShallow: boolean
}

/** Lists keys in the order of their bytes, which is not that of trees: `a-b` comes before `a/b`. */
export class KeyListing {
  readonly #ports: VersioningPorts
  readonly #files: Files

  constructor(ports: VersioningPorts, files: Files) {
    this.#ports = ports
    this.#files = files
  }

  /**
   * The commit, and the keys in it, read as they are taken; costs little more than what is taken.
   *
   * `commit` is as in `resolveCommitId`.
   */
  async *list(
    place: { readonly repo: string; readonly commit: string },
    selection: KeySelection,
    signal?: AbortSignal,
  ): AsyncGenerator<ListedKey, void> {
    using lease = this.#ports.leases.beginReading()
    const { tree } = await this.#files.snapshot({ ...place, lease, signal })
    for await (const found of keysOf(this.#ports.trees, tree, selection)) {
      checkCancelled(signal)
      yield found
    }
  }
}

/** As `KeyListing.list`, of a tree. */
export async function* keysOf(
  trees: FileTrees,
  tree: DirectoryEntry,
  { prefix, after, isShallow }: KeySelection,
): AsyncGenerator<ListedKey> {
  const base = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  const namePrefix = prefix.slice(base.length)
  if (!isBase(base)) return
  const isBehind = after !== undefined && compareKeys(after, prefix) > 0
  if (isBehind && !after.startsWith(prefix)) return
  // Behind the prefix itself: only what is there when there is a directory marker.
  const skipsAll = after === undefined || compareKeys(after, prefix) < 0
  const start = base === '' ? tree : await trees.get(tree, parseFilePath(base))
  if (start?.kind !== 'directory') return
  const rest = skipsAll ? undefined : after.slice(base.length)
  yield* new KeyWalk(trees, isShallow).below(start, base, { namePrefix, after: rest })
}

/** Directories of a key, each with its slash. Nothing is below what is no path. */
function isBase(base: string): boolean {
  if (base === '') return true
  if (base.includes('\0') || !base.isWellFormed()) return false
  return base
    .slice(0, -1)
    .split('/')
    .every((name) => name !== '' && name !== '.' && name !== '..')
}

/** What of a directory is listed. */
interface Within {
  readonly namePrefix: string
  /** Relative to the directory. */
  readonly after: string | undefined
}

class KeyWalk {
  readonly #trees: FileTrees
  readonly #isShallow: boolean

  constructor(trees: FileTrees, isShallow: boolean) {
    this.#trees = trees
    this.#isShallow = isShallow
  }

  async *below(
    directory: DirectoryEntry,
    base: string,
    { namePrefix, after }: Within,
  ): AsyncGenerator<ListedKey> {
    let isEmpty = namePrefix === '' && after === undefined && base !== ''
    for await (const { name, entry } of this.#inOrder(directory, { namePrefix, after })) {
      isEmpty = false
      const key = `${base}${name}`
      if (entry.kind === 'file') {
        yield { kind: 'file', key, ...this.#facts(entry.content) }
        continue
      }
      const own = `${name}/`
      if (this.#isShallow) {
        if (after === undefined || compareKeys(own, after) > 0) {
          yield { kind: 'prefix', key: `${base}${own}` }
        }
        continue
      }
      const rest = after?.startsWith(own) === true ? after.slice(own.length) : undefined
      yield* this.below(entry, `${base}${own}`, { namePrefix: '', after: rest })
    }
    if (isEmpty) yield { kind: 'empty-directory', key: base }
  }

  #facts(content: Content): { readonly sizeBytes: number; readonly hash: Uint8Array } {
    const hash = this.#trees.entryHash({ kind: 'file', content })
    return { sizeBytes: contentSizeBytes(content), hash }
  }

  /**
   * Entries in the order of their keys. A directory, whose key has a slash behind its name, waits for
   * files such as `name-1`, which come before that. At most as many wait as a name has bytes.
   */
  async *#inOrder(
    directory: DirectoryEntry,
    { namePrefix, after }: Within,
  ): AsyncGenerator<NamedEntry> {
    /** The last comes first. */
    const waiting: NamedEntry[] = []
    const from = after === undefined ? undefined : after.split('/', 1)[0]
    if (from !== undefined) {
      for (const name of this.#namesAround(from, namePrefix)) {
        const entry = await this.#trees.get(directory, joinPath(rootPath, name))
        if (entry?.kind === 'directory') waiting.push({ name, entry })
      }
    }
    const start = from === undefined ? { from: namePrefix } : { after: from }
    for await (const found of this.#trees.list(directory, rootPath, start)) {
      if (!found.name.startsWith(namePrefix)) break
      const key = orderKey(found)
      for (let next = waiting.at(-1); next !== undefined; next = waiting.at(-1)) {
        if (compareKeys(orderKey(next), key) > 0) break
        waiting.pop()
        yield next
      }
      if (after !== undefined && compareKeys(key, after) <= 0) continue
      if (found.entry.kind === 'file') yield found
      else waiting.push(found)
    }
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) yield next
  }

  /** The names up to `name` of which a directory may still have keys behind it. */
  *#namesAround(name: string, namePrefix: string): Generator<string> {
    for (let length = Math.max(1, namePrefix.length); length < name.length; length += 1) {
      if (name.charCodeAt(length) < slash) yield name.slice(0, length)
    }
    if (name !== '') yield name
  }
}

const slash = '/'.charCodeAt(0)

function orderKey({ name, entry }: NamedEntry): string {
  return entry.kind === 'file' ? name : `${name}/`
}

/** By UTF-8, as everything here is ordered. */
export function compareKeys(left: string, right: string): number {
  if (left === right) return 0
  return compareBytes(utf8(left), utf8(right))
}
