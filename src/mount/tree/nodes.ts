import { rootId } from '../fuse/constants.ts'
import type { FileWriter } from '../files/file-writer.ts'
import { inodeNumber } from './inode-number.ts'

/** A content that never changes: of a finished commit. */
export interface FileVersion {
  readonly hash: string
  /** The newest commit that was seen to have it at this path. */
  commitId: string
  readonly sizeBytes: number
  changedAt: number
}

/** What the kernel knows by a number: a directory, a version of a file, or a file of an open commit. */
export interface Node {
  readonly id: number
  /** What programs see. */
  inode: number
  /** Undefined for the top, whose name is empty. */
  parent: Node | undefined
  name: string
  readonly isDirectory: boolean
  /** Undefined for directories, and for files of open commits. */
  readonly version: FileVersion | undefined
  /** The finished commit, by id, in which the directory was last seen; of files, their version says it. */
  seenIn: string | undefined
  /** Of a file in an open commit: seconds since 1970, when the commit was started. */
  changedAt: number
  /** Of a file in an open commit, while it is written. */
  writer: FileWriter | undefined
  /** How often the kernel was told of it, without what it has forgotten. */
  lookupCount: number
  openCount: number
  /** The kernel was asked to forget it. */
  isLeaving: boolean
}

/** Where a node is: which repo, branch or commit, and names below. */
export interface Place {
  readonly repo: string | undefined
  readonly ref: string | undefined
  /** Empty at the top of a commit, else with a slash before each name. */
  readonly path: string
}

/** More files are known to the kernel only for a moment: it is asked to forget the oldest. */
const nodesMax = 200_000
const leavingMax = 1000
/** Lists make no more nodes then, until some have gone. */
const fullMin = 2 * nodesMax

/** All nodes that the kernel may ask about. */
export class Nodes {
  readonly top: Node
  readonly #byId = new Map<number, Node>()
  /** Of versions, the one that was seen last. */
  readonly #byName = new Map<string, Node>()
  #lastId: number = rootId

  constructor() {
    this.top = newNode({
      id: rootId,
      inode: rootId,
      parent: undefined,
      name: '',
      isDirectory: true,
    })
    this.top.lookupCount = 1
    this.#byId.set(rootId, this.top)
  }

  /** Whether only look-ups should make nodes now. */
  get isFull(): boolean {
    return this.#byId.size >= fullMin
  }

  byId(id: number): Node | undefined {
    return this.#byId.get(id)
  }

  directory(parent: Node, name: string): Node {
    return this.#known(parent, name, { isDirectory: true, version: undefined })
  }

  /** With another content it is another node, so that whoever reads the old one is not confused. */
  version(parent: Node, name: string, version: FileVersion): Node {
    const node = this.#known(parent, name, { isDirectory: false, version })
    if (node.version !== undefined) {
      node.version.commitId = version.commitId
      node.version.changedAt = version.changedAt
    }
    return node
  }

  /** What a name was last seen to stand for in this finished commit, if the kernel still knows it. */
  seenIn(commitId: string, parent: Node, name: string): Node | undefined {
    const file = this.#byName.get(keyOf(parent, name, 'version'))
    if (file?.version?.commitId === commitId) return file
    const directory = this.knownDirectory(parent, name)
    return directory?.seenIn === commitId ? directory : undefined
  }

  /** A file of an open commit: what it holds may change. */
  openFile(parent: Node, name: string, changedAt: number): Node {
    const node = this.#known(parent, name, { isDirectory: false, version: undefined })
    node.changedAt = changedAt
    return node
  }

  /** The file of an open commit, if the kernel knows it. */
  knownOpenFile(parent: Node, name: string): Node | undefined {
    return this.#byName.get(keyOf(parent, name, 'open file'))
  }

  knownDirectory(parent: Node, name: string): Node | undefined {
    return this.#byName.get(keyOf(parent, name, 'directory'))
  }

  forget(id: number, count: number): void {
    const node = this.#byId.get(id)
    if (node === undefined || node === this.top) return
    node.lookupCount = Math.max(0, node.lookupCount - count)
    this.#dropUnused(node)
  }

  closed(node: Node): void {
    node.openCount -= 1
    this.#dropUnused(node)
  }

  moved(node: Node, parent: Node, name: string): void {
    const key = keyOf(node.parent, node.name, kindOf(node))
    if (this.#byName.get(key) === node) this.#byName.delete(key)
    node.parent = parent
    node.name = name
    node.seenIn = undefined
    node.inode = inodeNumber(parent.inode, name)
    this.#byName.set(keyOf(parent, name, kindOf(node)), node)
  }

  /** Files that the kernel should be asked to forget, the oldest first; each is named once. */
  leaving(): readonly Node[] {
    if (this.#byId.size <= nodesMax) return []
    const nodes: Node[] = []
    for (const node of this.#byId.values()) {
      if (nodes.length === leavingMax) break
      if (node.isDirectory || node.isLeaving || node.openCount > 0) continue
      node.isLeaving = true
      nodes.push(node)
    }
    return nodes
  }

  #known(parent: Node, name: string, kind: Pick<Node, 'isDirectory' | 'version'>): Node {
    const key = keyOf(parent, name, kindOf(kind))
    const known = this.#byName.get(key)
    if (known !== undefined && known.version?.hash === kind.version?.hash) {
      known.isLeaving = false
      return known
    }
    this.#lastId += 1
    const inode = inodeNumber(parent.inode, name)
    const node = newNode({ id: this.#lastId, inode, parent, name, ...kind })
    this.#byId.set(node.id, node)
    this.#byName.set(key, node)
    return node
  }

  #dropUnused(node: Node): void {
    if (node.lookupCount > 0 || node.openCount > 0) return
    this.#byId.delete(node.id)
    const key = keyOf(node.parent, node.name, kindOf(node))
    if (this.#byName.get(key) === node) this.#byName.delete(key)
  }
}

export function placeOf(node: Node): Place {
  const names: string[] = []
  for (let at = node; at.parent !== undefined; at = at.parent) names.unshift(at.name)
  const [repo, ref, ...path] = names
  return { repo, ref, path: path.map((name) => `/${name}`).join('') }
}

function newNode(
  facts: Pick<Node, 'id' | 'inode' | 'parent' | 'name' | 'isDirectory'> & {
    readonly version?: FileVersion | undefined
  },
): Node {
  return {
    version: undefined,
    seenIn: undefined,
    changedAt: 0,
    writer: undefined,
    lookupCount: 0,
    openCount: 0,
    isLeaving: false,
    ...facts,
  }
}

type NodeKind = 'directory' | 'version' | 'open file'

function kindOf({ isDirectory, version }: Pick<Node, 'isDirectory' | 'version'>): NodeKind {
  if (isDirectory) return 'directory'
  return version === undefined ? 'open file' : 'version'
}

function keyOf(parent: Node | undefined, name: string, kind: NodeKind): string {
  return `${parent?.id ?? 0}${kind === 'directory' ? '/' : kind === 'version' ? '=' : '+'}${name}`
}
