import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'
import type { CommitId, RepoName } from '../base/names.ts'
import { type FilePath, isWithin, parseFilePath, rootPath } from '../base/paths.ts'
import type { Lease } from '../storage/leases.ts'
import { contentSizeBytes } from '../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEntry } from '../storage/file-trees.ts'
import { CommitBusyError, FileNotFoundError, IsADirectoryError } from './errors.ts'
import type { FileName, Files } from './files.ts'
import type { VersioningPorts } from './ports.ts'
import { checkCancelled } from './records/cancellation.ts'
import { requireCountable } from './records/tree-totals.ts'
import { conflictError } from './staging/conflicts.ts'
import type { OpenTree, OpenTrees } from './staging/open-trees.ts'
import { placementConflict } from './staging/placements.ts'
import { requireOpen, stageWrites, type WriteToStage } from './staging/stage.ts'
import { encodeStaged, type StagedColumns } from './staging/staged-rows.ts'

/** What becomes of what is at the destination already; an empty directory counts as nothing. */
export type CopyMode =
  /** It stays, and the call fails. */
  | 'refuse'
  /** It goes, a directory with all that is in it. */
  | 'overwrite'
  /** It is a file, and goes on with the content of another. */
  | 'append'

/** What was copied or moved. */
export interface Copied {
  readonly fileCount: number
  readonly sizeBytes: number
}

/** Tries to stage a copy on the very tree that it was checked against. */
const checkedAttemptsMax = 3
/** Tries to take away from a commit exactly what was read there. */
const moveAttemptsMax = 20

/** Copies and moves files and directories by reference: the cost follows the path, not the content. */
export class Copies {
  readonly #ports: VersioningPorts
  readonly #openTrees: OpenTrees
  readonly #files: Files

  constructor(ports: VersioningPorts, openTrees: OpenTrees, files: Files) {
    this.#ports = ports
    this.#openTrees = openTrees
    this.#files = files
  }

  /**
   * Puts what `source` is now at `destination`, in an open commit. Durable when it resolves.
   *
   * @throws {FileNotFoundError} without a source.
   * @throws {PathTakenError} @throws {FileDirectoryConflictError} @throws {CommitNotOpenError}
   */
  async copy(
    source: FileName,
    destination: FileName,
    options: { readonly mode: CopyMode; readonly signal?: AbortSignal },
  ): Promise<Copied> {
    const { mode, signal } = options
    const to = await this.#destination(destination)
    using lease = this.#ports.leases.begin()
    const from = await this.#source(source, to, { lease, moves: false, signal })
    const entry = await entryToStage(this.#ports.trees, from.entry)
    const write = copyWrite({ from: from.path, to: to.path, entry, mode })
    await this.#ports.chunks.flush()
    for (let attempt = 1; ; attempt += 1) {
      const after = await this.#check({ ...to, lease }, mode, entry, signal)
      // Should writes keep coming between, it is staged anyway: a conflict then shows at the finish.
      const checked = attempt < checkedAttemptsMax ? { after } : {}
      const staged = { ...target(to, 'put'), ...checked, columns: write }
      const { kind } = await stageWrites(this.#ports, [staged], signal)
      if (kind === 'staged') return totalsOf(entry)
    }
  }

  /**
   * As `copy`, and takes it away from `source`, in one step; the source's commit is open, too.
   *
   * @throws {FailedPreconditionError} when the source's commit has finished.
   * @throws {CommitBusyError} when others kept writing to the source's commit.
   */
  async move(
    source: FileName,
    destination: FileName,
    options: { readonly overwrite: boolean; readonly signal?: AbortSignal },
  ): Promise<Copied> {
    const { overwrite, signal } = options
    const mode: CopyMode = overwrite ? 'overwrite' : 'refuse'
    const to = await this.#destination(destination)
    for (let attempt = 1; attempt <= moveAttemptsMax; attempt += 1) {
      using lease = this.#ports.leases.begin()
      const from = await this.#source(source, to, { lease, moves: true, signal })
      const entry = await entryToStage(this.#ports.trees, from.entry)
      await this.#ports.chunks.flush()
      const after = await this.#check({ ...to, lease }, mode, entry, signal)
      const checked = attempt < checkedAttemptsMax ? { after } : {}
      const put: Omit<WriteToStage, 'columns'> = { ...target(to, 'put'), ...checked }
      const copied = { from: from.path, to: to.path, entry, mode }
      const writes =
        from.id === to.id
          ? [{ ...put, columns: moveWrite(copied) }]
          : [
              { ...put, columns: copyWrite(copied) },
              // What came since it was read would be deleted without having been moved.
              { ...target(from, 'delete'), after: from.sequence, columns: removalOf(from.path) },
            ]
      const { kind } = await stageWrites(this.#ports, writes, signal)
      if (kind === 'staged') return totalsOf(entry)
    }
    throw new CommitBusyError(`commit ${source.repo}/${source.commit}`)
  }

  async #destination(file: FileName): Promise<Place> {
    const path = parseFilePath(file.path)
    const { repo, commit: name } = file
    const { id } = await this.#ports.database.read((tx) =>
      requireOpen(tx, { repo, name, call: 'put' }),
    )
    return { repo, id, path }
  }

  async #source(
    file: FileName,
    to: Place,
    options: {
      readonly lease: Lease
      readonly moves: boolean
      readonly signal: AbortSignal | undefined
    },
  ): Promise<Source> {
    const path = parseFilePath(file.path)
    const { lease, moves, signal } = options
    const { commit, tree, sequence } = await this.#files.snapshot({ ...file, lease, signal })
    const { repo, id } = commit
    requireCopyable({ repo, id, path, isFinished: sequence === undefined }, to, moves)
    const entry = await this.#ports.trees.get(tree, path)
    if (entry === undefined) throw new FileNotFoundError({ repo, commit: id, path })
    return { repo, id, path, sequence, entry }
  }

  /** Refuses what cannot be at the destination as it is now, which is said by its last write. */
  async #check(
    to: LeasedPlace,
    mode: CopyMode,
    entry: TreeEntry,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { sequence, tree } = await this.#openTree(to, signal)
    await requirePlace(this.#ports.trees, tree, { to, mode, entry })
    return sequence
  }

  async #openTree(to: LeasedPlace, signal: AbortSignal | undefined): Promise<OpenTree> {
    for (;;) {
      checkCancelled(signal)
      const open = await this.#openTrees.current(to.id, to.lease, signal)
      if (open !== undefined) return open
      // It was finished or deleted meanwhile, which this says; else look again.
      await this.#ports.database.read((tx) =>
        requireOpen(tx, { repo: to.repo, name: to.id, call: 'put' }),
      )
    }
  }
}

/** A row names a directory by its root, which must be a chunk for that. */
export async function entryToStage(trees: FileTrees, entry: TreeEntry): Promise<TreeEntry> {
  return entry.kind === 'file' ? entry : trees.asRoot(entry)
}

/** Refuses what cannot be at a path of the open commit whose tree is given. */
export async function requirePlace(
  trees: FileTrees,
  tree: DirectoryEntry,
  copied: { readonly to: Place; readonly mode: CopyMode; readonly entry: TreeEntry },
): Promise<void> {
  const { to, mode, entry } = copied
  if (to.path === rootPath && entry.kind === 'file') {
    throw new InvalidArgumentError('cannot put a file at the root: name its whole new path')
  }
  const overwrite = mode !== 'refuse'
  const conflict = await placementConflict(trees, tree, { path: to.path, overwrite })
  if (conflict !== undefined) throw conflictError(conflict)
  if (mode === 'append' && (await trees.get(tree, to.path))?.kind === 'directory') {
    throw conflictError({ path: to.path, obstacle: to.path })
  }
  const { fileCount, sizeBytes } = totalsOf(entry)
  requireCountable(`commit ${to.repo}/${to.id}`, {
    fileCount: tree.fileCount + fileCount,
    sizeBytes: tree.sizeBytes + sizeBytes,
  })
}

/** What is copied, from path to path. */
interface CopiedEntry {
  readonly from: FilePath
  readonly to: FilePath
  /** As `entryToStage` makes it. */
  readonly entry: TreeEntry
  readonly mode: CopyMode
}

/** What a copy stages. @throws {IsADirectoryError} for a source that cannot be appended to a file. */
export function copyWrite({ from, to: path, entry, mode }: CopiedEntry): StagedColumns {
  const overwrite = mode === 'overwrite'
  if (mode !== 'append') return encodeStaged({ kind: 'graft', path, overwrite, entry })
  if (entry.kind === 'directory') throw new IsADirectoryError(from)
  const value = { kind: 'content' as const, content: entry.content }
  return encodeStaged({ kind: 'put', path, overwrite, value })
}

/** What a move within one commit stages. */
export function moveWrite({ from, to: path, mode }: CopiedEntry): StagedColumns {
  return encodeStaged({ kind: 'move', path, overwrite: mode === 'overwrite', from })
}

/** What a move to another commit stages in the one that it takes from. */
export function removalOf(path: FilePath): StagedColumns {
  return encodeStaged({ kind: 'delete', path })
}

interface Place {
  readonly repo: string
  readonly id: CommitId
  readonly path: FilePath
}

/** What is read there stays while the lease lives. */
interface LeasedPlace extends Place {
  readonly lease: Lease
}

interface Source extends Place {
  readonly repo: RepoName
  /** The last write before it was read; undefined when the commit is finished. */
  readonly sequence: number | undefined
  readonly entry: TreeEntry
}

function target(
  { repo, id }: Place,
  call: 'put' | 'delete',
): { readonly repo: string; readonly name: string; readonly call: 'put' | 'delete' } {
  return { repo, name: id, call }
}

function totalsOf(entry: TreeEntry): Copied {
  if (entry.kind === 'directory') return { fileCount: entry.fileCount, sizeBytes: entry.sizeBytes }
  return { fileCount: 1, sizeBytes: contentSizeBytes(entry.content) }
}

/**
 * @throws {FailedPreconditionError} for a move out of a commit that has finished.
 * @throws {InvalidArgumentError} for a directory that would have to hold itself.
 */
export function requireCopyable(
  from: Place & { readonly isFinished: boolean },
  to: Pick<Place, 'id' | 'path'>,
  moves: boolean,
): void {
  if (moves && from.isFinished) throw cannotMove(from)
  const verb = moves ? 'move' : 'copy'
  if (from.id !== to.id || !isWithin(to.path, from.path)) return
  const shown = JSON.stringify(from.path || '/')
  throw new InvalidArgumentError(
    from.path === to.path
      ? `cannot ${verb} ${shown} onto itself: source and destination are one path of one commit`
      : `cannot ${verb} ${shown} into itself: ${JSON.stringify(to.path)} is in it; name a destination outside of it`,
  )
}

function cannotMove({ repo, id }: Place): FailedPreconditionError {
  return new FailedPreconditionError(
    `cannot move files out of commit ${repo}/${id}: it has already finished and never changes; copy them with copy-file`,
  )
}
