import { compareBytes, concatBytes, utf8 } from '../../base/bytes.ts'
import { flatSync, Nested, type NestedItemsSync } from '../../base/nested.ts'
import { type FilePath, joinPath, pathNames, rootPath } from '../../base/paths.ts'
import type { Content, Contents } from '../../storage/contents.ts'
import type { DirectoryEntry, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import { Conflicts, type StagedConflict } from './conflicts.ts'
import type { StagedValue } from './staged-rows.ts'

type Nesting = Generator<TreeEdit | Nested<NestedItemsSync<TreeEdit>>>

/** What an overlay needs: the tree under it, and contents. */
export interface OverlayPorts {
  readonly contents: Contents
  /** The entry in the tree under the overlay. */
  readonly lookUp: (path: FilePath) => Promise<TreeEntry | undefined>
  readonly emptyDirectory: DirectoryEntry
}

/** One path as the overlay knows it. */
interface Node {
  readonly name: string
  readonly path: FilePath
  /** What the tree under the overlay has here, if no delete above has taken it away. */
  readonly base: TreeEntry | undefined
  /** A delete has taken `base`, and all that is below it, away. */
  cleared: boolean
  kind: 'absent' | 'file' | 'directory'
  /** Of a file: what it holds, apart from `pending`. */
  content: Content | undefined
  /** Bytes to append to `content`, gathered so that a thousand small appends are one. */
  pending: Uint8Array[]
  changed: boolean
  children: Map<string, Node>
}

/**
 * Applies staged writes one after another, in memory, on top of a tree, and says what they change
 * as one sorted batch of edits. Holds what it is given: the caller bounds a batch.
 */
export class Overlay {
  readonly #ports: OverlayPorts
  readonly #root: Node
  readonly #conflicts: Conflicts
  #pendingBytes = 0

  constructor(ports: OverlayPorts, conflicts: readonly StagedConflict[]) {
    this.#ports = ports
    this.#root = newNode('', rootPath, ports.emptyDirectory)
    this.#conflicts = new Conflicts(conflicts)
  }

  /** Conflicts that no later delete has repaired, in the order in which they came up. */
  get conflicts(): readonly StagedConflict[] {
    return this.#conflicts.list
  }

  /** Bytes that are held because they are in no content yet; `settle` brings this to 0. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  async put(path: FilePath, value: StagedValue, overwrite: boolean): Promise<void> {
    const above: Node[] = []
    let node = this.#root
    for (const name of pathNames(path)) {
      if (node.kind === 'file') {
        this.#conflicts.add({ path, obstacle: node.path })
        return
      }
      above.push(node)
      node = node.children.get(name) ?? (await this.#load(node, name))
    }
    if (node.kind === 'directory') {
      this.#conflicts.add({ path, obstacle: path })
      return
    }
    for (const directory of above) directory.kind = 'directory'
    await this.#write(node, value, overwrite)
  }

  async delete(path: FilePath): Promise<void> {
    this.#conflicts.repair(path)
    let node = this.#root
    for (const name of pathNames(path)) {
      if (node.kind !== 'directory') return
      node = node.children.get(name) ?? (await this.#load(node, name))
    }
    if (node.kind === 'absent') return
    this.#forget(node)
    node.kind = node === this.#root ? 'directory' : 'absent'
    node.cleared = true
    node.children = new Map()
  }

  /** Makes contents of all bytes that are held. */
  async settle(): Promise<void> {
    await this.#settle(this.#root)
  }

  /** True when nothing of the tree under the overlay is left: the edits are for an empty tree. */
  get startsEmpty(): boolean {
    return this.#root.cleared
  }

  /** What changes, in path order. Call `settle` first. */
  edits(): Generator<TreeEdit> {
    return flatSync(this.#editsBelow(this.#root))
  }

  async #load(parent: Node, name: string): Promise<Node> {
    const path = joinPath(parent.path, name)
    const hidden = parent.cleared || parent.base?.kind !== 'directory'
    const node = newNode(name, path, hidden ? undefined : await this.#ports.lookUp(path))
    parent.children.set(name, node)
    return node
  }

  async #write(node: Node, value: StagedValue, overwrite: boolean): Promise<void> {
    if (overwrite || node.kind === 'absent') {
      this.#forget(node)
      node.content = undefined
    }
    node.kind = 'file'
    node.changed = true
    if (value.kind === 'bytes') {
      node.pending.push(value.bytes)
      this.#pendingBytes += value.bytes.length
    } else {
      await this.#settleNode(node)
      node.content = await this.#joined(node.content, value.content)
    }
  }

  /** Drops the bytes that are held for `node` and all below. */
  #forget(node: Node): void {
    for (const { pending } of withAllBelow(node)) {
      for (const bytes of pending) this.#pendingBytes -= bytes.length
      pending.length = 0
    }
  }

  async #settle(node: Node): Promise<void> {
    for (const each of withAllBelow(node)) await this.#settleNode(each)
  }

  async #settleNode(node: Node): Promise<void> {
    if (node.pending.length === 0) return
    const bytes = concatBytes(node.pending)
    node.content = await this.#joined(node.content, await this.#ports.contents.writeBytes(bytes))
    this.#pendingBytes -= bytes.length
    node.pending = []
  }

  async #joined(head: Content | undefined, tail: Content): Promise<Content> {
    return head === undefined ? tail : this.#ports.contents.append(head, tail)
  }

  *#editsBelow(node: Node): Nesting {
    for (const child of inByteOrder(node.children)) {
      switch (child.kind) {
        case 'absent':
          if (child.base !== undefined) yield { path: child.path, entry: undefined }
          break
        case 'file':
          if (child.changed && child.content !== undefined) {
            // A file does not take a directory's place by itself.
            if (child.base?.kind === 'directory') yield { path: child.path, entry: undefined }
            yield { path: child.path, entry: { kind: 'file', content: child.content } }
          }
          break
        case 'directory':
          yield new Nested(() => this.#directoryEdits(child))
          break
        default:
          child.kind satisfies never
      }
    }
  }

  *#directoryEdits(node: Node): Nesting {
    const replaces = node.cleared && node.base !== undefined
    const exists = node.base?.kind === 'directory' && !node.cleared
    const filled = [...node.children.values()].some((child) => child.kind !== 'absent')
    // A directory that has lost all that was put into it stays, empty.
    if (replaces || (!exists && !filled)) {
      yield { path: node.path, entry: this.#ports.emptyDirectory }
    }
    yield new Nested(() => this.#editsBelow(node))
  }
}

/** A loop of its own, for a path may have two thousand names. */
function* withAllBelow(node: Node): Generator<Node> {
  const waiting = [node]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    yield next
    for (const child of next.children.values()) waiting.push(child)
  }
}

function newNode(name: string, path: FilePath, base: TreeEntry | undefined): Node {
  return {
    name,
    path,
    base,
    cleared: false,
    kind: base?.kind ?? 'absent',
    content: base?.kind === 'file' ? base.content : undefined,
    pending: [],
    changed: false,
    children: new Map(),
  }
}

function inByteOrder(nodes: ReadonlyMap<string, Node>): readonly Node[] {
  return [...nodes.values()]
    .map((node) => ({ node, key: utf8(node.name) }))
    .toSorted((left, right) => compareBytes(left.key, right.key))
    .map(({ node }) => node)
}
