import type { Batched } from '../../base/batched.ts'
import type { CommitId } from '../../base/names.ts'
import type { Turns } from '../../base/turns.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { DirectoryEntry, TreeEdit, TreeRoot } from '../../storage/file-trees.ts'
import type { Lease } from '../../storage/leases.ts'
import { type CommitTree, treeEntry } from '../commit-records.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'
import { bulkEdits } from './bulk-edits.ts'
import { Conflicts, type StagedConflict } from './conflicts.ts'
import { Overlay } from './overlay.ts'
import { eventLoopTurns, paced } from './pace.ts'
import { placementEdits } from './placements.ts'
import { fileCodec, mergeRuns, piecesCodec, type RunRecord } from './runs.ts'
import { splitEdits } from './split-edits.ts'
import {
  type BatchWrite,
  decodeStaged,
  type StagedColumns,
  type StagedWrite,
} from './staged-rows.ts'

/** An open commit as of one of its staged writes. */
export interface OpenTree {
  /** Everything up to this staged write is applied. */
  readonly sequence: number
  /** Its root is a stored chunk; durable after the next flush. */
  readonly tree: DirectoryEntry
  /** Puts that were left out; a commit that has any cannot be finished. */
  readonly conflicts: readonly StagedConflict[]
}

/** Rows that are read at once; each holds at most 64 KiB of content. */
const pageRowsMax = 256
/** Writes that become one edit of the tree. */
const batchWritesMax = 20_000
/** Bytes that an overlay may hold before it makes contents of them. */
const pendingBytesMax = 16 * 1024 * 1024
/** Open commits whose trees are remembered. */
const rememberedMax = 256

interface RememberedTree extends OpenTree {
  /** That of the leases in which it was built: what of it is not durable is kept for that long. */
  readonly generation: number
}

type OpenRow = {
  readonly staged_last: number
  readonly root: TreeRoot | null
  readonly size_bytes: number | null
  readonly file_count: number | null
}
type StagedRow = StagedColumns & { readonly sequence: number }

interface BuildOrder {
  readonly commit: CommitId
  /** That of the leases when it was asked for. */
  readonly generation: number
  readonly lease: Lease
  readonly signal: AbortSignal | undefined
}

/**
 * Trees of open commits: what was staged, applied to the parent's tree, in the order of the writes.
 * What has been applied once is remembered, so that the next reader applies only what came since.
 */
export class OpenTrees {
  readonly #ports: VersioningPorts
  /** By commit, the least recently used first. */
  readonly #remembered = new Map<CommitId, RememberedTree>()
  /** What is being built, by commit: the next builder goes on from there. */
  readonly #building = new Map<CommitId, Promise<unknown>>()

  readonly #turns: Turns

  constructor(ports: VersioningPorts) {
    this.#ports = ports
    this.#turns = eventLoopTurns(ports.clock)
  }

  /**
   * The tree with everything that was staged before the call, or undefined when the commit is not
   * open (any more). `lease` holds it.
   */
  async current(
    commit: CommitId,
    lease: Lease,
    signal?: AbortSignal,
  ): Promise<OpenTree | undefined> {
    // What is put stays until the tree is remembered, whatever the caller's lease is for.
    using _ = this.#ports.leases.begin()
    const { generation } = this.#ports.leases
    return await lease.acquire(() => this.#buildInTurn({ commit, generation, lease, signal }))
  }

  async #buildInTurn(order: BuildOrder): Promise<OpenTree | undefined> {
    const { commit, signal } = order
    const earlier = this.#building.get(commit)
    const built = (async () => {
      await settled(earlier, signal)
      return this.#build(order)
    })()
    const last = Promise.allSettled([earlier, built])
    this.#building.set(commit, last)
    try {
      return await built
    } finally {
      if (this.#building.get(commit) === last) this.#building.delete(commit)
    }
  }

  /**
   * `tree` with a write on top, numbered as the next staged write, and the first of its own conflicts;
   * remembers nothing. `records` are those of a bulk write, where they need not be read.
   */
  async withWrite(
    tree: OpenTree,
    write: BatchWrite,
    records?: Batched<RunRecord>,
  ): Promise<OpenTree & { readonly refused: StagedConflict | undefined }> {
    const conflicts = new Conflicts(tree.conflicts)
    const edits = await this.#batchEdits(tree.tree, { write, records }, conflicts)
    const edited = await this.#edit(tree.tree, edits)
    return {
      sequence: tree.sequence + 1,
      tree: edited,
      conflicts: conflicts.list,
      refused: conflicts.firstAdded,
    }
  }

  async #batchEdits(
    root: DirectoryEntry,
    {
      write,
      records,
    }: { readonly write: BatchWrite; readonly records: Batched<RunRecord> | undefined },
    conflicts: Conflicts,
  ): Promise<Iterable<TreeEdit> | AsyncIterable<TreeEdit>> {
    const { chunks, contents, trees } = this.#ports
    switch (write.kind) {
      case 'bulk':
        return bulkEdits(
          { contents, lookUp: (path) => trees.get(root, path), turns: this.#turns },
          records ?? mergeRuns(chunks, fileCodec, write.runs),
          (conflict) => conflicts.add(conflict),
        )
      case 'splits': {
        const pieces = paced(mergeRuns(chunks, piecesCodec, write.runs), this.#turns)
        return splitEdits({ contents, trees, root }, pieces, conflicts)
      }
      default:
        return await placementEdits(trees, root, write, conflicts)
    }
  }

  /** `tree` with writes on top, numbered as the next staged writes; remembers nothing. */
  async withWrites(tree: OpenTree, writes: readonly StagedColumns[]): Promise<OpenTree> {
    let applied = tree
    let overlay: Overlay | undefined
    let sequence = tree.sequence
    for (const columns of writes) {
      const write = decodeStaged(columns)
      if (isOverlaid(write)) {
        overlay ??= await this.#overlayOn(applied)
        await applyWrite(overlay, write)
      } else {
        if (overlay !== undefined) applied = await this.#finishBatch(applied, overlay, sequence)
        overlay = undefined
        applied = await this.withWrite(applied, write)
      }
      sequence += 1
    }
    return overlay === undefined ? applied : this.#finishBatch(applied, overlay, sequence)
  }

  /** A new commit's tree: its parent's, or an empty one. */
  async startingAt(parent: CommitTree | undefined): Promise<OpenTree> {
    const tree = parent === undefined ? await this.#ports.trees.emptyRoot() : treeEntry(parent)
    return { sequence: 0, tree, conflicts: [] }
  }

  /**
   * Keeps a tree that the caller has built and knows to be right. What of it is not durable was put
   * in `generation` of the leases or later.
   */
  remember(commit: CommitId, { sequence, tree, conflicts }: OpenTree, generation: number): void {
    const known = this.#remembered.get(commit)
    if (known !== undefined) {
      if (known.generation > generation) return
      if (known.generation === generation && known.sequence > sequence) return
    }
    this.#remembered.delete(commit)
    this.#remembered.set(commit, { sequence, tree, conflicts, generation })
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= rememberedMax) break
      this.#remembered.delete(oldest)
    }
  }

  /** Forgets the trees of commits that are gone, or finished elsewhere. */
  async forgetEnded(): Promise<void> {
    for (const commit of this.#remembered.keys()) {
      const row = await this.#ports.database.read((tx) => openRow(tx, commit))
      if (row === undefined) this.forget(commit)
    }
  }

  /** Roots that only memory refers to: a collection must not take them away. */
  roots(): readonly TreeRoot[] {
    const current = this.#ports.leases.generation
    return [...this.#remembered.values()]
      .filter(({ generation }) => generation === current)
      .map(({ tree }) => tree.root)
  }

  forget(commit: CommitId): void {
    this.#remembered.delete(commit)
  }

  async #build({ commit, generation, lease, signal }: BuildOrder): Promise<OpenTree | undefined> {
    const row = await this.#ports.database.read((tx) => openRow(tx, commit))
    if (row === undefined) {
      this.forget(commit)
      return undefined
    }
    const remembered = this.#remembered.get(commit)
    const isKept = remembered !== undefined && remembered.generation >= generation
    let tree = isKept ? remembered : await this.#parentTree(row)
    lease.hold({ kind: 'tree', root: tree.tree.root })
    while (tree.sequence < row.staged_last) {
      checkCancelled(signal)
      const next = await this.#applyBatch(commit, tree, row.staged_last)
      if (next === undefined) return undefined
      tree = next
      lease.hold({ kind: 'tree', root: tree.tree.root })
      this.remember(commit, tree, generation)
    }
    return tree
  }

  async #parentTree(row: OpenRow): Promise<OpenTree> {
    const { root, size_bytes: sizeBytes, file_count: fileCount } = row
    if (root === null || sizeBytes === null || fileCount === null) return this.startingAt(undefined)
    return this.startingAt({ root, sizeBytes, fileCount })
  }

  /** Applies the next writes up to `last`; undefined when they are gone: the commit is, too. */
  async #applyBatch(
    commit: CommitId,
    start: OpenTree,
    last: number,
  ): Promise<OpenTree | undefined> {
    const overlay = await this.#overlayOn(start)
    let sequence = start.sequence
    while (sequence < last && sequence - start.sequence < batchWritesMax) {
      const rows = await this.#ports.database.read((tx) => stagedRows(tx, commit, sequence, last))
      for (const row of rows) {
        if (row.sequence !== sequence + 1) return undefined
        const write = decodeStaged(row)
        if (!isOverlaid(write)) {
          if (sequence === start.sequence) return this.withWrite(start, write)
          return this.#finishBatch(start, overlay, sequence)
        }
        await applyWrite(overlay, write)
        sequence = row.sequence
      }
      if (rows.length === 0) return undefined
      if (overlay.pendingBytes > pendingBytesMax) await overlay.settle()
    }
    return this.#finishBatch(start, overlay, sequence)
  }

  async #overlayOn({ tree, conflicts }: OpenTree): Promise<Overlay> {
    const { contents, trees } = this.#ports
    const emptyDirectory = await trees.emptyRoot()
    return new Overlay(
      { contents, lookUp: (path) => trees.get(tree, path), emptyDirectory },
      conflicts,
    )
  }

  #edit(
    tree: DirectoryEntry,
    edits: Iterable<TreeEdit> | AsyncIterable<TreeEdit>,
  ): Promise<DirectoryEntry> {
    return this.#ports.trees.edit(tree, edits, { emptied: 'keep' })
  }

  async #finishBatch(start: OpenTree, overlay: Overlay, sequence: number): Promise<OpenTree> {
    await overlay.settle()
    const base = overlay.startsEmpty ? await this.#ports.trees.emptyRoot() : start.tree
    const tree = await this.#edit(base, overlay.edits())
    return { sequence, tree, conflicts: overlay.conflicts }
  }
}

/** A write that is gathered with its neighbours. */
type OverlaidWrite = Exclude<StagedWrite, BatchWrite>

function isOverlaid(write: StagedWrite): write is OverlaidWrite {
  return write.kind === 'put' || write.kind === 'delete'
}

async function applyWrite(overlay: Overlay, write: OverlaidWrite): Promise<void> {
  if (write.kind === 'put') await overlay.put(write.path, write.value, write.overwrite)
  else await overlay.delete(write.path)
}

/** Waits for the builders before this one, but no longer than its own caller does. */
async function settled(
  earlier: Promise<unknown> | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (earlier === undefined || signal === undefined) {
    await earlier
    return
  }
  const aborted = Promise.withResolvers<undefined>()
  const abort = (): void => aborted.resolve(undefined)
  signal.addEventListener('abort', abort, { once: true })
  if (!signal.aborted) await Promise.race([earlier, aborted.promise])
  signal.removeEventListener('abort', abort)
  checkCancelled(signal)
}

async function openRow(tx: ReadTransaction, commit: CommitId): Promise<OpenRow | undefined> {
  return tx.get<OpenRow>(
    `SELECT commits.staged_last, parents.root, parents.size_bytes, parents.file_count
      FROM commits LEFT JOIN commits AS parents ON parents.id = commits.parent
      WHERE commits.id = ? AND commits.finished_at IS NULL`,
    commit,
  )
}

async function stagedRows(
  tx: ReadTransaction,
  commit: CommitId,
  after: number,
  last: number,
): Promise<readonly StagedRow[]> {
  return tx.all<StagedRow>(
    `SELECT sequence, kind, path_key, payload FROM staged_writes
      WHERE id = ? AND sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?`,
    commit,
    after,
    last,
    pageRowsMax,
  )
}
