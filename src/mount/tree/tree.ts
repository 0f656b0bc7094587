import type { FileRef } from '../../base/file-refs.ts'
import { OperationError } from '../errors.ts'
import type { Attributes, AttributesAnswer, EntryAnswer } from '../fuse/answers.ts'
import type { ListedEntry } from '../files/directory-listing.ts'
import { Commits } from './commits.ts'
import type { DraftDirectories } from './draft-directories.ts'
import { type Node, type Nodes, placeOf } from './nodes.ts'
import type { ResolvedCommit, ServerCalls, TreeEntry } from './server-calls.ts'

/** How long the kernel may rely on what can never change, and on what can. */
const stableSeconds = 3600
const movingSeconds = 1
/**
 * Of files behind the first of a long list: `find` reads all of it before it looks at any of them, and would
 * find each one out of date by then.
 */
const farDownSeconds = 10
const farDownMin = 1000

/** A commit and a path in it, as a node stands for them now. */
export interface CommitPlace {
  readonly commit: ResolvedCommit
  /** Empty at its top. */
  readonly path: string
  /** The commit is finished, and named by its id. */
  readonly isStable: boolean
}

/** What a list says of a name. */
export interface EntryFacts {
  readonly isDirectory: boolean
  /** Undefined above commits, where a list does not tell enough for an answer. */
  readonly found: { readonly entry: TreeEntry; readonly place: CommitPlace } | undefined
}

export interface TreeParts {
  readonly calls: ServerCalls
  readonly commits: Commits
  readonly nodes: Nodes
  readonly drafts: DraftDirectories
  /** Who owns everything. */
  readonly owner: { readonly uid: number; readonly gid: number }
}

/** Repos as directories, branches and commits in them, and files below these. */
export class Tree {
  readonly #parts: TreeParts

  constructor(parts: TreeParts) {
    this.#parts = parts
  }

  /** What `name` stands for in a directory; counts as a look-up. @throws {OperationError} ENOENT. */
  async lookup(parent: Node, name: string): Promise<EntryAnswer> {
    const { repo, ref } = placeOf(parent)
    if (repo === undefined) {
      await this.#parts.calls.requireRepo(name)
      return this.#directoryAnswer(parent, name, undefined)
    }
    if (ref === undefined) return this.#directoryAnswer(parent, name, await this.#top(repo, name))
    const place = await this.commitPlace(parent)
    const path = `${place.path}/${name}`
    // A finished commit holds what it held.
    const seen = this.#parts.nodes.seenIn(place.commit.id, parent, name)
    if (seen?.isDirectory === true) return this.#directoryAnswer(parent, name, { ...place, path })
    if (seen !== undefined) return this.#versionEntry(seen, place)
    const pending = this.#parts.nodes.knownOpenFile(parent, name)
    if (place.commit.isOpen && pending?.writer !== undefined)
      return this.#openFileAnswer(pending, 0)
    const entry = await this.#parts.calls.entry({ commit: place.commit, path })
    if (entry !== undefined) return this.entryAnswer(parent, entry, place)
    if (place.commit.isOpen && this.#parts.drafts.has(place.commit.id, path)) {
      return this.#directoryAnswer(parent, name, { ...place, path })
    }
    return this.#nothing(place)
  }

  /** As `lookup`, of what a list told, after `earlierCount` others. */
  entryAnswer(
    parent: Node,
    entry: TreeEntry,
    place: CommitPlace,
    earlierCount: number = 0,
  ): EntryAnswer {
    const { name, sizeBytes, hash } = entry
    const path = `${place.path}/${name}`
    if (entry.isDirectory) return this.#directoryAnswer(parent, name, { ...place, path })
    const { commit } = place
    if (commit.isOpen) {
      const node = this.#parts.nodes.openFile(parent, name, commit.changedAt)
      return this.#openFileAnswer(node, sizeBytes)
    }
    const { id: commitId, changedAt } = commit
    const version = { hash, commitId, sizeBytes, changedAt }
    const node = this.#parts.nodes.version(parent, name, version)
    return this.#versionEntry(
      node,
      place,
      earlierCount < farDownMin ? movingSeconds : farDownSeconds,
    )
  }

  /** Of a file that was just made. */
  madeFileAnswer(node: Node): EntryAnswer {
    return this.#openFileAnswer(node, 0)
  }

  async attributes(node: Node): Promise<AttributesAnswer> {
    if (!node.isDirectory) {
      if (node.version !== undefined) return this.#versionAnswer(node)
      if (node.writer !== undefined) return this.#changingAnswer(node, node.writer.sizeBytes)
      return this.#changingAnswer(node, (await this.openEntry(node)).sizeBytes)
    }
    const { repo, ref } = placeOf(node)
    if (repo === undefined || ref === undefined) return this.#directoryAttributes(node, undefined)
    const place = await this.commitPlace(node)
    const isSeen = node.seenIn === place.commit.id
    if (!place.isStable && !isSeen && place.path !== '') await this.#requireDirectory(place)
    return this.#directoryAttributes(node, place)
  }

  /** Where a node below a repo is, in the commit that is there now. */
  async commitPlace(node: Node): Promise<CommitPlace> {
    const { repo, ref, path } = placeOf(node)
    if (repo === undefined || ref === undefined) {
      throw new OperationError('EPERM', 'repos and commits are made with pachctl')
    }
    return { ...(await this.#top(repo, ref)), path }
  }

  /** As `commitPlace`, where something may be changed. @throws {OperationError} EROFS, EPERM. */
  async openPlace(node: Node): Promise<CommitPlace> {
    const known = await this.commitPlace(node)
    if (known.commit.isOpen) return known
    // Before it is refused: a commit may just have been started on the branch.
    const { repo = '', ref = '' } = placeOf(node)
    if (!known.isStable) this.#parts.commits.forget({ repo, id: ref })
    const place = await this.commitPlace(node)
    if (place.commit.isOpen) return place
    throw new OperationError('EROFS', `commit ${place.commit.id} is finished`)
  }

  /** A file of an open commit, as it is now. */
  async openEntry(node: Node): Promise<TreeEntry> {
    const { commit, path } = await this.commitPlace(node)
    const entry = await this.#parts.calls.entry({ commit, path })
    if (entry !== undefined && !entry.isDirectory) return entry
    throw new OperationError('ESTALE', `${path} is no longer there`)
  }

  /** The content of a file node. */
  async fileRef(node: Node): Promise<FileRef> {
    const { repo, path } = placeOf(node)
    if (node.version !== undefined && repo !== undefined) {
      return { commit: { repo, id: node.version.commitId }, path }
    }
    const place = await this.commitPlace(node)
    return { commit: place.commit, path }
  }

  async *list(node: Node, signal: AbortSignal): AsyncGenerator<ListedEntry<EntryFacts>> {
    const { repo, ref } = placeOf(node)
    if (repo === undefined || ref === undefined) {
      const { calls } = this.#parts
      const names = await (repo === undefined ? calls.listRepos() : calls.listRefs(repo))
      for (const name of names) {
        // Branches of other servers may have slashes: their commits are there by id.
        if (!name.includes('/')) yield { name, facts: { isDirectory: true, found: undefined } }
      }
      return
    }
    yield* this.#listFiles(await this.commitPlace(node), signal)
  }

  async *#listFiles(
    place: CommitPlace,
    signal: AbortSignal,
  ): AsyncGenerator<ListedEntry<EntryFacts>> {
    const { commit, path } = place
    const { calls, drafts } = this.#parts
    const made = new Set(commit.isOpen ? drafts.below(commit.id, path) : [])
    if (!commit.isOpen || !drafts.has(commit.id, path) || (await this.#isThere(place))) {
      for await (const entry of calls.list({ commit, path }, signal)) {
        made.delete(entry.name)
        const { name, isDirectory } = entry
        yield { name, facts: { isDirectory, found: { entry, place } } }
      }
    }
    for (const name of made) {
      const entry = { name, isDirectory: true, sizeBytes: 0, hash: '' }
      yield { name, facts: { isDirectory: true, found: { entry, place } } }
    }
  }

  async #isThere({ commit, path }: CommitPlace): Promise<boolean> {
    return (await this.#parts.calls.entry({ commit, path })) !== undefined
  }

  async #requireDirectory(place: CommitPlace): Promise<void> {
    const { commit, path } = place
    if (commit.isOpen && this.#parts.drafts.has(commit.id, path)) return
    const entry = await this.#parts.calls.entry({ commit, path })
    if (entry === undefined) throw new OperationError('ENOENT', `${path} is no longer there`)
    if (!entry.isDirectory) throw new OperationError('ENOTDIR', `${path} is a file now`)
  }

  async #top(repo: string, ref: string): Promise<CommitPlace> {
    const commit = await this.#parts.commits.resolve({ repo, id: ref })
    if (!commit.isOpen) this.#parts.drafts.finished(commit.id)
    return { commit, path: '', isStable: !commit.isOpen && Commits.isId(ref) }
  }

  #directoryAnswer(parent: Node, name: string, place: CommitPlace | undefined): EntryAnswer {
    const node = this.#parts.nodes.directory(parent, name)
    node.lookupCount += 1
    if (place?.commit.isOpen === false) node.seenIn = place.commit.id
    return {
      nodeId: node.id,
      entrySeconds: place?.isStable === true ? stableSeconds : movingSeconds,
      ...this.#directoryAttributes(node, place),
    }
  }

  #directoryAttributes(node: Node, place: CommitPlace | undefined): AttributesAnswer {
    return {
      attributesSeconds: place?.isStable === true ? stableSeconds : movingSeconds,
      attributes: this.#attributes(node, {
        permissions: place?.commit.isOpen === true ? 0o775 : 0o555,
        sizeBytes: 0,
        changedAt: place?.commit.changedAt ?? 0,
      }),
    }
  }

  #versionEntry(node: Node, place: CommitPlace, unstableSeconds = movingSeconds): EntryAnswer {
    node.lookupCount += 1
    return {
      nodeId: node.id,
      entrySeconds: place.isStable ? stableSeconds : unstableSeconds,
      ...this.#versionAnswer(node),
    }
  }

  #versionAnswer(node: Node): AttributesAnswer {
    const { sizeBytes, changedAt } = node.version ?? { sizeBytes: 0, changedAt: 0 }
    const attributes = this.#attributes(node, { permissions: 0o444, sizeBytes, changedAt })
    return { attributesSeconds: stableSeconds, attributes }
  }

  #openFileAnswer(node: Node, sizeBytes: number): EntryAnswer {
    node.lookupCount += 1
    return {
      nodeId: node.id,
      entrySeconds: movingSeconds,
      ...this.#changingAnswer(node, node.writer?.sizeBytes ?? sizeBytes),
    }
  }

  #changingAnswer(node: Node, sizeBytes: number): AttributesAnswer {
    const { changedAt } = node
    const attributes = this.#attributes(node, { permissions: 0o666, sizeBytes, changedAt })
    return { attributesSeconds: movingSeconds, attributes }
  }

  #nothing(place: CommitPlace): EntryAnswer {
    if (!place.isStable) throw new OperationError('ENOENT', 'nothing is there')
    return this.unknownAnswer()
  }

  /** To a look-up: that nothing is there, for good. In a list: that the kernel must look it up. */
  unknownAnswer(): EntryAnswer {
    const attributes = this.#attributes(this.#parts.nodes.top, {
      permissions: 0,
      sizeBytes: 0,
      changedAt: 0,
    })
    return { nodeId: 0, entrySeconds: stableSeconds, attributesSeconds: 0, attributes }
  }

  #attributes(
    { inode, isDirectory }: Node,
    facts: Pick<Attributes, 'permissions' | 'sizeBytes' | 'changedAt'>,
  ): Attributes {
    return { inode, isDirectory, ...facts, ...this.#parts.owner }
  }
}
