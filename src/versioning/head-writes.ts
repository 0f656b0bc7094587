import { type ByteStream, compareBytes } from '../base/bytes.ts'
import {
  AlreadyExistsError,
  FailedPreconditionError,
  PermissionDeniedError,
} from '../base/errors.ts'
import { type CommitId, parseBranchName, parseCommitId, parseRepoName } from '../base/names.ts'
import { type FilePath, parseFilePath, pathKey, pathNames } from '../base/paths.ts'
import { newHexId } from '../base/random.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { type Content, contentSizeBytes } from '../storage/contents.ts'
import type { DirectoryEntry, TreeEdit } from '../storage/file-trees.ts'
import type { Lease } from '../storage/leases.ts'
import { type BranchInfo, deleteBranch, findBranch, requireNoTag, setHead } from './branches.ts'
import { getCommit, insertFinishedCommit, treeEntry } from './commit-records.ts'
import { treeChange } from './commits/tree-changes.ts'
import {
  BranchNotFoundError,
  CommitBusyError,
  CommitNotOpenError,
  FileNotFoundError,
} from './errors.ts'
import type { FileName, Files } from './files.ts'
import type { VersioningPorts } from './ports.ts'
import { createOrUpdateRepo, findRepo } from './repos.ts'
import type { OpenTrees } from './staging/open-trees.ts'
import { stageWrites } from './staging/stage.ts'
import { encodeStaged } from './staging/staged-rows.ts'
import type { Writes } from './writes.ts'

/** A change to one path, by somebody who has no commit to put it into. */
export type HeadChange = { readonly path: FilePath } & (
  | {
      readonly kind: 'put'
      readonly content: Content
      /** Is told the hash of the file that is there now; what it throws refuses the change. */
      readonly requires?: Requirement
    }
  /** Makes an empty directory, unless there is one. */
  | { readonly kind: 'make-directory' }
  /** Deletes it if it is what is said; else nothing happens. */
  | { readonly kind: 'delete'; readonly what: 'file' | 'empty-directory' }
)

export type Requirement = (hash: Uint8Array | undefined) => void

/** Where changes went. */
export interface HeadWritten {
  readonly commit: CommitId
  /** The commit was open before, and stays so. */
  readonly isOpen: boolean
}

/** A file that was put. */
export interface HeadPut extends HeadWritten {
  readonly hash: Uint8Array
  readonly sizeBytes: number
}

/** Where a file goes to. */
export interface HeadPlace {
  readonly repo: string
  readonly branch: string
  readonly path: FilePath
  readonly requires?: Requirement | undefined
}

export class BranchExistsError extends AlreadyExistsError {
  override readonly name = 'BranchExistsError'

  constructor(repo: string, branch: string, options?: ErrorOptions) {
    super(`branch ${repo}/${branch} already exists`, options)
  }
}

export class BranchNotEmptyError extends FailedPreconditionError {
  override readonly name = 'BranchNotEmptyError'

  constructor(repo: string, branch: string, options?: ErrorOptions) {
    super(
      `branch ${repo}/${branch} has files: delete them first, or delete the branch with pachctl delete-branch`,
      options,
    )
  }
}

/** Changes that are made together. */
interface Group {
  readonly changes: readonly HeadChange[]
  readonly written: PromiseWithResolvers<HeadWritten>
}

interface BranchQueue {
  readonly repo: string
  readonly branch: string
  readonly waiting: Group[]
}

type BatchEnd =
  | { readonly kind: 'done'; readonly written: HeadWritten }
  /** Somebody else has moved the branch, or has finished its head, meanwhile. */
  | { readonly kind: 'outrun' }

const batchChangesMax = 1000
const attemptsMax = 100
const messagePathMax = 200
const outrun: BatchEnd = { kind: 'outrun' }

/**
 * Changes to what a branch shows, without a commit of the caller's own.
 *
 * Where the head is open, they are staged in it. Else they become a finished commit, which is the new
 * head: what comes while one is being made waits, and shares the next. A change that changes nothing
 * makes no commit.
 */
export class HeadWrites {
  readonly #ports: VersioningPorts
  readonly #openTrees: OpenTrees
  readonly #writes: Writes
  readonly #files: Files
  /** Branches that are being written. */
  readonly #queues = new Map<string, BranchQueue>()

  constructor(
    ports: VersioningPorts,
    {
      openTrees,
      writes,
      files,
    }: { readonly openTrees: OpenTrees; readonly writes: Writes; readonly files: Files },
  ) {
    this.#ports = ports
    this.#openTrees = openTrees
    this.#writes = writes
    this.#files = files
  }

  /** Puts a whole file, when all of it has come. Throws as `write` does. */
  async put(place: HeadPlace, bytes: ByteStream): Promise<HeadPut> {
    using _ = this.#ports.leases.begin()
    return await this.putStored(place, await this.#ports.contents.write(bytes))
  }

  /** As `put`, of a content that a lease of the caller's holds. */
  async putStored({ repo, branch, path, requires }: HeadPlace, content: Content): Promise<HeadPut> {
    const change: HeadChange = { kind: 'put', path, content, ...(requires && { requires }) }
    const written = await this.write(repo, branch, [change])
    const hash = this.#ports.trees.entryHash({ kind: 'file', content })
    return { ...written, hash, sizeBytes: contentSizeBytes(content) }
  }

  /** As `put`, of the content of a file that is there, which is neither read nor stored again. */
  async copy(place: HeadPlace, source: FileName, signal?: AbortSignal): Promise<HeadPut> {
    using lease = this.#ports.leases.begin()
    return await this.putStored(place, await this.contentOf(source, lease, signal))
  }

  /**
   * The content of a file, which `lease` holds.
   *
   * @throws {FileNotFoundError} for a directory, too.
   */
  async contentOf(source: FileName, lease: Lease, signal?: AbortSignal): Promise<Content> {
    const path = parseFilePath(source.path)
    const { commit, tree } = await this.#files.snapshot({ ...source, lease, signal })
    const entry = await this.#ports.trees.get(tree, path)
    if (entry?.kind === 'file') return entry.content
    throw new FileNotFoundError({ repo: commit.repo, commit: commit.id, path })
  }

  /**
   * Makes a branch with an empty commit, and the repo if there is none.
   *
   * @throws {BranchExistsError} @throws {NameInUseError} when a commit tag has its name.
   */
  async makeBranch(repo: string, branch: string): Promise<void> {
    const { clock, database, random, trees, chunks, leases, onHeadReady, uses } = this.#ports
    const place = { repo: parseRepoName(repo), name: parseBranchName(branch) }
    using _ = leases.begin()
    const tree = await trees.emptyRoot()
    await chunks.flush()
    const id = parseCommitId(newHexId(random))
    const at = clock.now()
    await database.transact(async (tx) => {
      if ((await findBranch(tx, repo, branch)) !== undefined)
        throw new BranchExistsError(repo, branch)
      await requireNoTag(tx, repo, place.name)
      if ((await findRepo(tx, repo)) === undefined) {
        await createOrUpdateRepo(tx, uses, { name: place.repo, createdAt: at })
      }
      const times = { startedAt: at, finishedAt: at }
      const made = { repo: place.repo, id, parent: undefined, provenance: [], ...times }
      await insertFinishedCommit(tx, { ...made, tree, addedBytes: 0 })
      await setHead(tx, onHeadReady, { ...place, head: id })
    })
  }

  /**
   * Deletes a branch whose tree is empty; its commits stay.
   *
   * @throws {BranchNotEmptyError} @throws as `write` does.
   */
  async deleteEmptyBranch(repo: string, branch: string): Promise<void> {
    using lease = this.#ports.leases.beginReading()
    const { database, trees } = this.#ports
    const { commit, tree } = await this.#files.snapshot({
      repo,
      commit: branch,
      lease,
      signal: undefined,
    })
    if (tree.root !== (await trees.emptyRoot()).root) throw new BranchNotEmptyError(repo, branch)
    await database.transact(async (tx) => {
      const { head } = await this.#writableHead(tx, repo, branch)
      if (head !== commit.id) throw new CommitBusyError(`branch ${repo}/${branch}`)
      await deleteBranch(tx, repo, branch)
    })
  }

  /**
   * Makes changes to different paths; all at once, unless the head is open. Durable and visible when it
   * resolves. The caller holds what is put by a lease until then.
   *
   * @throws {BranchNotFoundError}
   * @throws {PermissionDeniedError} for a branch that a pipeline writes.
   * @throws {FileDirectoryConflictError} for a file where a directory is, or below a file.
   * @throws {CommitBusyError} when others kept moving the branch.
   */
  async write(repo: string, branch: string, changes: readonly HeadChange[]): Promise<HeadWritten> {
    const group: Group = { changes, written: Promise.withResolvers() }
    const name = JSON.stringify([repo, branch])
    const queue = this.#queues.get(name)
    if (queue !== undefined) queue.waiting.push(group)
    else {
      const started: BranchQueue = { repo, branch, waiting: [group] }
      this.#queues.set(name, started)
      void this.#run(name, started)
    }
    return group.written.promise
  }

  /** @throws as `write` does, for a branch that cannot be written so. */
  async requireWritable(repo: string, branch: string): Promise<void> {
    await this.#ports.database.read((tx) => this.#writableHead(tx, repo, branch))
  }

  /** Never rejects: each group hears of its own failure. */
  async #run(name: string, queue: BranchQueue): Promise<void> {
    while (queue.waiting.length > 0) await this.#writeGroups(queue, takeBatch(queue.waiting))
    this.#queues.delete(name)
  }

  async #writeGroups(queue: BranchQueue, groups: readonly Group[]): Promise<void> {
    try {
      const changes = groups.flatMap((group) => group.changes)
      const written = await this.#writeAll(queue, changes)
      for (const group of groups) group.written.resolve(written)
    } catch (error) {
      const [only, ...others] = groups
      if (others.length === 0) only?.written.reject(error)
      // One that fails takes no other along.
      else for (const group of groups) await this.#writeGroups(queue, [group])
    }
  }

  async #writeAll(queue: BranchQueue, changes: readonly HeadChange[]): Promise<HeadWritten> {
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const end = await this.#tryWrite(queue, changes)
      if (end.kind === 'done') return end.written
    }
    throw new CommitBusyError(`branch ${queue.repo}/${queue.branch}`)
  }

  async #tryWrite(
    { repo, branch }: BranchQueue,
    changes: readonly HeadChange[],
  ): Promise<BatchEnd> {
    using lease = this.#ports.leases.begin()
    const head = await lease.acquire(async () => {
      const found = await this.#ports.database.read(async (tx) =>
        getCommit(tx, repo, (await this.#writableHead(tx, repo, branch)).head),
      )
      const { state } = found
      if (state.kind === 'finished') lease.hold({ kind: 'tree', root: state.tree.root })
      return found
    })
    const { id, state } = head
    if (state.kind === 'open') return await this.#stage({ repo, id, lease }, changes)
    const tree = treeEntry(state.tree)
    const edits = await this.#editsOf(tree, changes)
    const { trees, chunks, database, clock, random, onHeadReady } = this.#ports
    const edited = await trees.edit(tree, edits, { emptied: 'remove' })
    if (edited.root === tree.root) return done(id, false)
    const { addedBytes } = await treeChange(trees, state.tree, edited)
    await chunks.flush()
    const made = parseCommitId(newHexId(random))
    const at = clock.now()
    return await database.transact(async (tx: Transaction) => {
      const now = await this.#writableHead(tx, repo, branch)
      if (now.head !== id) return outrun
      await insertFinishedCommit(tx, {
        repo: head.repo,
        id: made,
        parent: id,
        provenance: [],
        startedAt: at,
        finishedAt: at,
        tree: edited,
        addedBytes,
        message: messageOf(changes),
      })
      await setHead(tx, onHeadReady, { repo: head.repo, name: now.name, head: made })
      return done(made, false)
    })
  }

  async #writableHead(tx: ReadTransaction, repo: string, branch: string): Promise<BranchInfo> {
    const found = await findBranch(tx, repo, branch)
    if (found === undefined) throw new BranchNotFoundError(repo, branch)
    const writer = await this.#ports.uses.writerOf(tx, repo, branch)
    if (writer === undefined) return found
    throw new PermissionDeniedError(
      `branch ${repo}/${branch} is written by pipeline ${writer}, and by nothing else: put files into the pipeline's inputs, or into another branch`,
    )
  }

  /** What the changes come to for the tree, in tree order. */
  async #editsOf(tree: DirectoryEntry, changes: readonly HeadChange[]): Promise<TreeEdit[]> {
    const edits: TreeEdit[] = []
    for (const change of changes) {
      const edit = await this.#editOf(tree, change)
      if (edit !== undefined) edits.push(edit)
    }
    return edits.toSorted((left, right) => compareBytes(pathKey(left.path), pathKey(right.path)))
  }

  async #editOf(tree: DirectoryEntry, change: HeadChange): Promise<TreeEdit | undefined> {
    const { trees } = this.#ports
    const { path } = change
    const there = await trees.get(tree, path)
    switch (change.kind) {
      case 'put':
        change.requires?.(there?.kind === 'file' ? trees.entryHash(there) : undefined)
        return { path, entry: { kind: 'file', content: change.content } }
      case 'make-directory':
        if (there?.kind === 'directory') return undefined
        return { path, entry: await trees.emptyRoot() }
      case 'delete': {
        if (there === undefined) return undefined
        const isFile = there.kind === 'file'
        if (change.what === 'file') return isFile ? { path, entry: undefined } : undefined
        const isEmpty = !isFile && there.root === (await trees.emptyRoot()).root
        return isEmpty ? { path, entry: undefined } : undefined
      }
    }
  }

  /** Into an open commit: puts are one write, whatever their count. */
  async #stage(
    { repo, id, lease }: { readonly repo: string; readonly id: CommitId; readonly lease: Lease },
    changes: readonly HeadChange[],
  ): Promise<BatchEnd> {
    const open = await this.#openTrees.current(id, lease)
    if (open === undefined) return outrun
    const edits = await this.#editsOf(open.tree, changes)
    let after = open.sequence
    try {
      await this.#ports.chunks.flush() // the root of an empty directory
      for (const { path, entry } of edits) {
        if (entry?.kind === 'file') continue
        const columns =
          entry === undefined
            ? encodeStaged({ kind: 'delete', path })
            : encodeStaged({ kind: 'graft', path, overwrite: false, entry })
        // Right behind what was looked at: what has come to the path since is not to go with it.
        const staged = { repo, name: id, call: 'put', after, columns } as const
        const result = await stageWrites(this.#ports, [staged], undefined)
        if (result.kind === 'outrun') return outrun
        after = result.sequence
      }
      await using bulk = await this.#writes.bulk(repo, id)
      for (const { path, entry } of edits) {
        if (entry?.kind !== 'file') continue
        await bulk.putStored(path, entry.content, { overwrite: true })
      }
      await bulk.commit()
    } catch (error) {
      if (error instanceof CommitNotOpenError) return outrun
      throw error
    }
    return done(id, true)
  }
}

function done(commit: CommitId, isOpen: boolean): BatchEnd {
  return { kind: 'done', written: { commit, isOpen } }
}

/** Takes those from the front that change different paths, none of them below another. */
function takeBatch(waiting: Group[]): readonly Group[] {
  const batch: Group[] = []
  const paths = new Set<string>()
  const above = new Set<string>()
  let count = 0
  for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
    count += next.changes.length
    if (batch.length > 0 && count > batchChangesMax) break
    const added = next.changes.map(({ path }) => ({ path, parents: parentsOf(path) }))
    const clashes = added.some(
      ({ path, parents }) =>
        paths.has(path) || above.has(path) || parents.some((parent) => paths.has(parent)),
    )
    if (batch.length > 0 && clashes) break
    for (const { path, parents } of added) {
      paths.add(path)
      for (const parent of parents) above.add(parent)
    }
    waiting.shift()
    batch.push(next)
  }
  return batch
}

function parentsOf(path: FilePath): readonly string[] {
  const names = pathNames(path)
  return names.slice(1).map((_, index) => `/${names.slice(0, index + 1).join('/')}`)
}

/** What list-commit says of a commit that nobody wrote a message for. */
function messageOf(changes: readonly HeadChange[]): string {
  const [first, ...others] = changes
  if (first !== undefined && others.length === 0) {
    return `${first.kind === 'delete' ? 'delete' : 'put'} ${first.path.slice(0, messagePathMax)}`
  }
  const deletedCount = changes.filter(({ kind }) => kind === 'delete').length
  const putCount = changes.length - deletedCount
  const puts = putCount === 0 ? [] : [`put ${putCount}`]
  const deletions = deletedCount === 0 ? [] : [`delete ${deletedCount}`]
  return `${[...puts, ...deletions].join(', ')} files`
}
