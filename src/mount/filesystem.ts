import type { Clock } from '../base/clock.ts'
import type { Transport } from '../client/transport.ts'
import { OperationError } from './errors.ts'
import { DirectoryListing, type OpenList } from './files/directory-listing.ts'
import { OpenFiles } from './files/open-files.ts'
import {
  encodeAttributes,
  encodeEntry,
  encodeOpen,
  encodeStatistics,
  encodeWritten,
  EntriesWriter,
} from './fuse/answers.ts'
import { OpenFlag } from './fuse/constants.ts'
import type { EntryName, Forget, Request } from './fuse/requests.ts'
import type { Operations } from './fuse/session.ts'
import { utf8 } from '../base/bytes.ts'
import { Changes, type NamedPlace } from './tree/changes.ts'
import { Commits } from './tree/commits.ts'
import { DraftDirectories } from './tree/draft-directories.ts'
import { inodeNumber } from './tree/inode-number.ts'
import { type Node, Nodes } from './tree/nodes.ts'
import { ServerCalls } from './tree/server-calls.ts'
import { type EntryFacts, Tree } from './tree/tree.ts'

export interface FilesystemPorts {
  readonly transport: Transport
  readonly clock: Clock
  readonly owner: { readonly uid: number; readonly gid: number }
}

interface OpenDirectory {
  readonly node: Node
  readonly listing: DirectoryListing<EntryFacts>
}

/** `.` and `..` come before what is in a directory. */
const dotCount = 2
const nothing: readonly Uint8Array[] = []

/** Answers the kernel's requests with what a server says. */
export class PfsFilesystem implements Operations {
  readonly #clock: Clock
  readonly #nodes = new Nodes()
  readonly #tree: Tree
  readonly #changes: Changes
  readonly #files: OpenFiles
  readonly #directories = new Map<number, OpenDirectory>()
  #lastHandle = 0
  /** Asks the kernel to forget a name, so that its node can go. */
  onLeaving: (parentId: number, name: Uint8Array) => Promise<void> = async () => undefined
  #isClearing = false

  constructor({ transport, clock, owner }: FilesystemPorts) {
    this.#clock = clock
    const calls = new ServerCalls(transport, clock)
    const drafts = new DraftDirectories()
    const nodes = this.#nodes
    const commits = new Commits(calls, clock)
    this.#tree = new Tree({ calls, commits, nodes, drafts, owner })
    this.#changes = new Changes({ tree: this.#tree, nodes, calls, drafts })
    this.#files = new OpenFiles({ tree: this.#tree, nodes, calls, clock })
  }

  forget(forgets: readonly Forget[]): void {
    for (const { nodeId, count } of forgets) this.#nodes.forget(nodeId, count)
  }

  async answer(request: Request): Promise<readonly Uint8Array[]> {
    switch (request.kind) {
      case 'lookup': {
        const { parent, name } = this.#named(request.nodeId, request.name, 'ENOENT')
        return [encodeEntry(await this.#tree.lookup(parent, name))]
      }
      case 'getattr':
        return [encodeAttributes(await this.#tree.attributes(this.#node(request.nodeId)))]
      case 'statistics':
        return [encodeStatistics()]
      case 'open-directory':
        return this.#openDirectory(this.#node(request.nodeId))
      case 'read-directory':
        return this.#readDirectory(request)
      case 'release-directory':
        this.#directories.get(request.handle)?.listing.close()
        this.#directories.delete(request.handle)
        return nothing
      case 'read':
        return this.#files.read(request.handle, request.range)
      default:
        return this.#answerChange(request)
    }
  }

  async #answerChange(request: Request): Promise<readonly Uint8Array[]> {
    switch (request.kind) {
      case 'open':
        return this.#open(request)
      case 'create':
        return this.#create(request)
      case 'write':
        await this.#files.write(request.handle, request.offset, request.bytes)
        return [encodeWritten(request.bytes.length)]
      case 'flush':
        await this.#files.flush(request.handle)
        return nothing
      case 'release':
        this.#files.release(request.handle)
        return nothing
      case 'setattr':
        return this.#setAttributes(request)
      case 'make-directory': {
        const place = this.#named(request.nodeId, request.name)
        await this.#changes.makeDirectory(place)
        return [encodeEntry(await this.#tree.lookup(place.parent, place.name))]
      }
      case 'unlink':
        await this.#changes.deleteFile(this.#named(request.nodeId, request.name))
        return nothing
      case 'remove-directory':
        await this.#changes.deleteDirectory(this.#named(request.nodeId, request.name))
        return nothing
      case 'rename': {
        if (request.otherFlags !== 0) throw new OperationError('EINVAL', 'no such way to rename')
        const from = this.#named(request.nodeId, request.name)
        const to = this.#named(request.newParentId, request.newName)
        await this.#changes.move(from, to, request.replaces)
        return nothing
      }
      default:
        throw new OperationError('ENOSYS', `${request.kind} is not answered here`)
    }
  }

  async #open({ nodeId, access }: Request & { kind: 'open' }): Promise<readonly Uint8Array[]> {
    const node = this.#node(nodeId)
    const handle = await this.#files.open(node, access)
    // What a version holds never changes, so what the kernel has read of it stays good.
    return [encodeOpen(handle, node.version === undefined ? 0 : OpenFlag.keepCache)]
  }

  async #create(request: Request & { kind: 'create' }): Promise<readonly Uint8Array[]> {
    const { parent, name } = this.#named(request.nodeId, request.name)
    const { commit } = await this.#tree.openPlace(parent)
    const node = this.#nodes.openFile(parent, name, commit.changedAt)
    const handle = this.#files.create(node)
    return [encodeEntry(this.#tree.madeFileAnswer(node)), encodeOpen(handle, 0)]
  }

  /** Owners, modes and times are taken where files can be written, and not kept: commits have none. */
  async #setAttributes({
    nodeId,
    change,
  }: Request & { kind: 'setattr' }): Promise<readonly Uint8Array[]> {
    const node = this.#node(nodeId)
    await this.#tree.openPlace(node)
    if (change.size !== undefined) await this.#files.resize(node, change.size)
    return [encodeAttributes(await this.#tree.attributes(node))]
  }

  #openDirectory(node: Node): readonly Uint8Array[] {
    const open: OpenList<EntryFacts> = (signal) => this.#tree.list(node, signal)
    this.#lastHandle += 1
    const listing = new DirectoryListing(open, this.#clock)
    this.#directories.set(this.#lastHandle, { node, listing })
    return [encodeOpen(this.#lastHandle, 0)]
  }

  async #readDirectory(
    request: Request & { kind: 'read-directory' },
  ): Promise<readonly Uint8Array[]> {
    const { handle, range, isPlus } = request
    const directory = this.#directories.get(handle)
    if (directory === undefined) throw new OperationError('EBADF', 'no such open directory')
    const { node, listing } = directory
    const writer = new EntriesWriter(range.size)
    let offset = range.offset
    listing.readTo(offset - dotCount)
    for (; ; offset += 1) {
      const isDot = offset < dotCount
      const listed = isDot ? undefined : await listing.at(offset - dotCount)
      if (!isDot && listed === undefined) break
      const name = listed?.name ?? (offset === 0 ? '.' : '..')
      const entry = {
        name: utf8(name),
        inode: isDot ? node.inode : inodeNumber(node.inode, name),
        isDirectory: listed?.facts.isDirectory ?? true,
        nextOffset: offset + 1,
      }
      if (!writer.hasRoom(entry, isPlus)) break
      writer.add(entry, isPlus ? this.#plus(node, listed?.facts, offset) : undefined)
    }
    void this.#clear()
    return [writer.take()]
  }

  /** What a look-up would answer; nothing where the list does not tell enough. */
  #plus(
    node: Node,
    facts: EntryFacts | undefined,
    offset: number,
  ): ReturnType<Tree['entryAnswer']> {
    return facts?.found === undefined || this.#nodes.isFull
      ? this.#tree.unknownAnswer()
      : this.#tree.entryAnswer(node, facts.found.entry, facts.found.place, offset)
  }

  /** Has the kernel forget files while it knows too many. Never waited for: it may wait for an answer. */
  async #clear(): Promise<void> {
    if (this.#isClearing) return
    this.#isClearing = true
    for (;;) {
      const leaving = this.#nodes.leaving()
      if (leaving.length === 0) break
      for (const { parent, name } of leaving) await this.onLeaving(parent?.id ?? 0, utf8(name))
    }
    this.#isClearing = false
  }

  #node(id: number): Node {
    const node = this.#nodes.byId(id)
    if (node === undefined) throw new OperationError('ESTALE', 'forgotten')
    return node
  }

  #named(parentId: number, name: EntryName, notUtf8: 'ENOENT' | 'EILSEQ' = 'EILSEQ'): NamedPlace {
    if (name === undefined) throw new OperationError(notUtf8, 'names here are UTF-8')
    return { parent: this.#node(parentId), name }
  }
}
