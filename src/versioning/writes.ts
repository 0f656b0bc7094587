import type { Batched } from '../base/batched.ts'
import type { ByteStream } from '../base/bytes.ts'
import { concatBytes, copyBytes } from '../base/bytes.ts'
import type { CommitId } from '../base/names.ts'
import { parseFilePath } from '../base/paths.ts'
import type { Turns } from '../base/turns.ts'
import type { Content } from '../storage/contents.ts'
import type { Lease } from '../storage/leases.ts'
import type { FileName } from './files.ts'
import type { VersioningPorts } from './ports.ts'
import { checkCancelled } from './records/cancellation.ts'
import type { Split } from './splits.ts'
import { conflictError, type StagedConflict } from './staging/conflicts.ts'
import {
  type BulkCollector,
  FileCollector,
  parsePutPath,
  type RowPut,
} from './staging/file-collector.ts'
import { GrowingTree } from './staging/growing-tree.ts'
import type { OpenTree, OpenTrees } from './staging/open-trees.ts'
import { eventLoopTurns } from './staging/pace.ts'
import { putConflict } from './staging/placements.ts'
import type { RunRecord } from './staging/runs.ts'
import { SplitCollector } from './staging/split-collector.ts'
import { requireOpen, stageWrites } from './staging/stage.ts'
import {
  type BatchWrite,
  encodeStaged,
  rowBytesMax,
  type StagedColumns,
  type StagedValue,
} from './staging/staged-rows.ts'

export { sweepStagedWrites } from './staging/sweep.ts'

/**
 * Many files as one write: all of them are staged by `commit`, or none. Puts run one at a time.
 * Leaving without `commit` abandons them. Files that are split are put in the same way.
 */
export interface BulkWriter extends AsyncDisposable {
  /**
   * Appends to what is there, or replaces it. Of a split, its pieces come behind those that are there,
   * or replace all that is there. Not durable before `commit` resolves. Undefined when there is nothing to
   * wait for before the next put; fails at once, or by what it returns.
   *
   * @throws {MalformedInputError} for what is not of the format by which it is to be split.
   */
  put(
    path: string,
    bytes: ByteStream | Uint8Array,
    options?: { readonly overwrite?: boolean },
  ): Promise<void> | undefined
  /** As `put`, of a content that was stored while `lease` lived. */
  putStored(
    path: string,
    content: Content,
    options?: { readonly overwrite?: boolean },
  ): Promise<void>
  /**
   * Whether there is room for a file, as far as the commit says now: for whoever has a long way to its bytes.
   *
   * @throws {FileDirectoryConflictError} as `commit` would.
   */
  requireRoom(path: string): Promise<void>
  /** Keeps what the writer stores and refers to from collection, while it lives. */
  readonly lease: Lease
  /**
   * Stages everything that was put; durable when it resolves.
   *
   * @throws {FileDirectoryConflictError} for a file where a directory is, in the commit or among
   * what was put; nothing is staged then.
   * @throws {SplitOntoFileError} @throws {PieceNumberError} for pieces that have no place.
   * @throws {CommitNotOpenError}
   */
  commit(signal?: AbortSignal): Promise<{ readonly fileCount: number; readonly sizeBytes: number }>
}

/** What was built of a bulk write while it came. */
interface GrownTree {
  /** That of the leases when the first of it was put. */
  readonly generation: number
  readonly from: OpenTree
  readonly to: OpenTree & { readonly refused: StagedConflict | undefined }
}

/** Tries to stage a bulk write on the very tree that it was checked against. */
const bulkAttemptsMax = 3

/** Writes to open commits. What has been acknowledged is durable. */
export class Writes {
  readonly #ports: VersioningPorts
  readonly #openTrees: OpenTrees
  readonly #turns: Turns

  constructor(ports: VersioningPorts, openTrees: OpenTrees) {
    this.#ports = ports
    this.#openTrees = openTrees
    this.#turns = eventLoopTurns(ports.clock)
  }

  /**
   * Appends `bytes` to the file, or replaces it. The order in which puts are acknowledged is the
   * order of the bytes. A conflict of file and directory shows when the commit is finished.
   *
   * @throws {CommitNotOpenError}
   * @throws {InvalidArgumentError} for the root.
   */
  async put(
    file: FileName,
    bytes: ByteStream | Uint8Array,
    options: { readonly overwrite?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const path = parsePutPath(file.path)
    const { overwrite = false, signal } = options
    const { repo, commit } = file
    using _ = this.#ports.leases.begin()
    const { value, name } = await this.#valueOf(bytes, { repo, name: commit }, signal)
    const columns = encodeStaged({ kind: 'put', path, overwrite, value })
    await stageWrites(this.#ports, [{ repo, name, call: 'put', columns }], signal)
  }

  /**
   * Deletes a file, or a directory with all that is below; the root: everything. A path with
   * nothing there is no error.
   *
   * @throws {CommitFinishedError}
   */
  async delete(file: FileName, signal?: AbortSignal): Promise<void> {
    const columns = encodeStaged({ kind: 'delete', path: parseFilePath(file.path) })
    const { repo, commit: name } = file
    await stageWrites(this.#ports, [{ repo, name, call: 'delete', columns }], signal)
  }

  /**
   * With `split`, each stream that is put becomes pieces, which are files in a directory at its path.
   *
   * @throws {CommitNotOpenError}
   * @throws {InvalidArgumentError} for what no stream can be split by.
   */
  async bulk(
    repo: string,
    commit: string,
    options: {
      readonly split?: Split | undefined
      readonly signal?: AbortSignal
      /** Another write is to complete it, or both go when the commit is given up. */
      readonly isPart?: boolean | undefined
    } = {},
  ): Promise<BulkWriter> {
    const { split, signal, isPart } = options
    const splitting = split && new SplitCollector(this.#ports, split, signal)
    const { id } = await this.#requireOpen(repo, commit)
    const lease = this.#ports.leases.begin()
    const growing = new GrowingTree((records) => this.#grow(id, records, { lease, signal }))
    const collector: BulkCollector = splitting ?? new FileCollector(this.#ports, growing)
    return {
      lease,
      // Not async themselves: of a million small files, each would pay for it.
      put: (path, bytes, { overwrite = false } = {}) => {
        const turn = this.#turns.nextOfMany()
        if (turn === undefined) return collector.add(path, bytes, overwrite)
        return turn.then(() => collector.add(path, bytes, overwrite))
      },
      putStored: (path, content, { overwrite = false } = {}) => {
        const turn = this.#turns.nextOfMany()
        if (turn === undefined) return collector.addStored(path, content, overwrite)
        return turn.then(() => collector.addStored(path, content, overwrite))
      },
      requireRoom: async (pathText) => {
        const path = parsePutPath(pathText)
        // Pieces go below it, whatever is there, or say what is wrong themselves.
        if (split !== undefined) return
        const open = await this.#openTrees.current(id, lease, signal)
        const conflict = open && (await putConflict(this.#ports.trees, open.tree, path))
        if (conflict !== undefined) throw conflictError(conflict)
      },
      commit: async (until = signal) => {
        const { write, fileCount, sizeBytes } = await collector.end()
        const grown = await growing.end()
        if (write !== undefined) {
          await this.#stageChecked({ repo, id, lease, isPart }, { write, grown }, until)
        }
        return { fileCount, sizeBytes }
      },
      [Symbol.asyncDispose]: async () => {
        collector.abandon()
        await growing[Symbol.asyncDispose]()
        lease[Symbol.dispose]()
      },
    }
  }

  async #requireOpen(repo: string, name: string): Promise<{ readonly id: CommitId }> {
    return this.#ports.database.read((tx) => requireOpen(tx, { repo, name, call: 'put' }))
  }

  /**
   * Small contents ride in the row. Larger ones are stored first, and the put then goes to the
   * commit that the name meant when the bytes began to come.
   */
  async #valueOf(
    bytes: ByteStream | Uint8Array,
    commit: { readonly repo: string; readonly name: string },
    signal: AbortSignal | undefined,
  ): Promise<{ readonly value: StagedValue; readonly name: string }> {
    const { chunks, contents } = this.#ports
    const stream = bytes instanceof Uint8Array ? ofBytes(bytes) : bytes
    const iterator = stream[Symbol.asyncIterator]()
    let handedOn = false
    try {
      const head = await takeHead(iterator, signal)
      if (head.ended) return { value: { kind: 'bytes', bytes: head.bytes }, name: commit.name }
      const { id } = await this.#requireOpen(commit.repo, commit.name)
      handedOn = true
      const content = await contents.write(joined(head.bytes, iterator, signal))
      await chunks.flush()
      return { value: { kind: 'content', content }, name: id }
    } finally {
      if (!handedOn) await iterator.return?.()
    }
  }

  /** What the commit is now, and what it will be with the records on top. */
  async #grow(
    id: CommitId,
    records: Batched<RunRecord>,
    { lease, signal }: { readonly lease: Lease; readonly signal: AbortSignal | undefined },
  ): Promise<GrownTree | undefined> {
    const { generation } = this.#ports.leases
    const from = await this.#openTrees.current(id, lease, signal)
    if (from === undefined) return undefined
    const write = { kind: 'bulk', runs: [] } as const
    return { generation, from, to: await this.#openTrees.withWrite(from, write, records) }
  }

  async #withWrite(
    tree: OpenTree,
    write: RowPut | BatchWrite,
    columns: StagedColumns,
  ): Promise<OpenTree & { readonly refused: StagedConflict | undefined }> {
    if (write.kind !== 'put') return this.#openTrees.withWrite(tree, write)
    const next = await this.#openTrees.withWrites(tree, [columns])
    return { ...next, refused: next.conflicts[tree.conflicts.length] }
  }

  /**
   * Checks a write against the commit's tree, then stages it. One file that fits a row needs no chunk,
   * and so costs no pack of its own.
   */
  async #stageChecked(
    {
      lease,
      id,
      ...to
    }: {
      readonly repo: string
      readonly id: CommitId
      readonly lease: Lease
      readonly isPart: boolean | undefined
    },
    {
      write,
      grown,
    }: { readonly write: RowPut | BatchWrite; readonly grown: GrownTree | undefined },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const columns = encodeStaged(write)
    // While the disk writes, the tree is built.
    const flushed = write.kind === 'put' ? Promise.resolve() : this.#ports.chunks.flush()
    flushed.catch(() => undefined) // awaited before anything is staged
    for (let attempt = 1; ; attempt += 1) {
      checkCancelled(signal)
      const { generation } = this.#ports.leases
      const tree = await this.#openTrees.current(id, lease, signal)
      if (tree === undefined) {
        await this.#requireOpen(to.repo, id)
        continue
      }
      const isGrown =
        grown?.generation === generation &&
        grown.from.sequence === tree.sequence &&
        grown.from.tree.root === tree.tree.root
      const next = isGrown ? grown.to : await this.#withWrite(tree, write, columns)
      if (next.refused !== undefined) throw conflictError(next.refused)
      // Should puts keep coming between, it is staged anyway: a conflict then shows at the finish.
      await flushed
      const after = attempt < bulkAttemptsMax ? tree.sequence : undefined
      const staged = { ...to, name: id, call: 'put', after, columns } as const
      const result = await stageWrites(this.#ports, [staged], signal)
      if (result.kind === 'outrun') continue
      if (result.sequence === next.sequence) this.#openTrees.remember(id, next, generation)
      return
    }
  }
}

async function* ofBytes(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Reads until the stream ends or no longer fits a row. */
async function takeHead(
  iterator: AsyncIterator<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<{ readonly bytes: Uint8Array; readonly ended: boolean }> {
  const parts: Uint8Array[] = []
  let size = 0
  while (size <= rowBytesMax) {
    checkCancelled(signal)
    const next = await iterator.next()
    if (next.done === true) return { bytes: concatBytes(parts), ended: true }
    // The source may use its buffer again.
    parts.push(copyBytes(next.value))
    size += next.value.length
  }
  return { bytes: concatBytes(parts), ended: false }
}

/** `head`, then what is left of a stream, which is closed on every way out. */
async function* joined(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield head
    for (;;) {
      checkCancelled(signal)
      const next = await rest.next()
      if (next.done === true) return
      yield next.value
    }
  } finally {
    await rest.return?.()
  }
}
