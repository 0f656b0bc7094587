import type { Clock } from '../../base/clock.ts'
import type { Database } from '../../database/database.ts'
import type { ChunkStore } from '../../storage/chunks.ts'
import { contentSizeBytes, type Content } from '../../storage/contents.ts'
import { type FaultPoint, noFault } from '../../storage/fault-point.ts'
import type { CommitTree } from '../../versioning/commit-records.ts'
import {
  findImportedObjects,
  findImportedTree,
  findImportedTrees,
  type ImportRun,
  recordImportedObjects,
  recordImportedTree,
} from '../../versioning/imports.ts'
import { countRecorded } from '../runs.ts'

/** So much is recorded together: what a crash may cost. */
const recordBytes = 64 * 1024 * 1024
const recordCount = 4000
const recordAfterMs = 2000

/** Notes what has come, many at a time: they share a flush and a transaction. */
export class ImportRecorder {
  readonly #run: ImportRun
  readonly #database: Database
  readonly #chunks: ChunkStore
  readonly #clock: Clock
  readonly #faultPoint: FaultPoint
  #objects = new Map<string, Content>()
  #trees = new Map<string, CommitTree>()
  /** What is being recorded is found, too. */
  #leaving: ReadonlyMap<string, Content> = new Map()
  #leavingTrees: ReadonlyMap<string, CommitTree> = new Map()
  #bytes = 0
  #lastMs: number
  #recording: Promise<void> = Promise.resolve()

  constructor(
    ports: {
      readonly database: Database
      readonly chunks: ChunkStore
      readonly clock: Clock
      readonly faultPoint?: FaultPoint
    },
    run: ImportRun,
  ) {
    this.#run = run
    this.#database = ports.database
    this.#chunks = ports.chunks
    this.#clock = ports.clock
    this.#faultPoint = ports.faultPoint ?? noFault
    this.#lastMs = ports.clock.monotonicMs()
  }

  /** An object that has come, and is not recorded yet. */
  find(hash: string): Content | undefined {
    return this.#objects.get(hash) ?? this.#leaving.get(hash)
  }

  /** Those of `hashes` (at most a few hundred) that have been recorded. */
  async recordedObjects(hashes: readonly string[]): Promise<ReadonlyMap<string, Content>> {
    return await this.#database.read((tx) => findImportedObjects(tx, hashes, this.#run))
  }

  /** Those of `hashes` (at most a few hundred) whose trees have been recorded. */
  async recordedTrees(hashes: readonly string[]): Promise<ReadonlyMap<string, CommitTree>> {
    return await this.#database.read((tx) => findImportedTrees(tx, hashes, this.#run))
  }

  /** A tree that has come, recorded or not yet. */
  async findTree(hash: string): Promise<CommitTree | undefined> {
    const found = this.#trees.get(hash) ?? this.#leavingTrees.get(hash)
    if (found !== undefined) return found
    return await this.#database.read((tx) => findImportedTree(tx, hash, this.#run))
  }

  async addObject(hash: string, content: Content): Promise<void> {
    this.#objects.set(hash, content)
    this.#bytes += contentSizeBytes(content)
    await this.#recordIfDue()
  }

  async addTree(hash: string, tree: CommitTree): Promise<void> {
    this.#trees.set(hash, tree)
    await this.#recordIfDue()
  }

  /** Resolves when all that was added is recorded. */
  async settle(): Promise<void> {
    this.#begin()
    await this.#recording
  }

  async #recordIfDue(): Promise<void> {
    const count = this.#objects.size + this.#trees.size
    const isLate = this.#clock.monotonicMs() - this.#lastMs >= recordAfterMs
    if (count < recordCount && this.#bytes < recordBytes && !isLate) return
    this.#begin()
    // Whoever brings more waits, so that memory stays bounded.
    await this.#recording
  }

  #begin(): void {
    const next = this.#recording.then(() => this.#record())
    // Whoever waits next is told.
    next.catch(() => undefined)
    this.#recording = next
  }

  async #record(): Promise<void> {
    const [objects, trees] = [this.#objects, this.#trees]
    if (objects.size === 0 && trees.size === 0) return
    this.#leaving = objects
    this.#leavingTrees = trees
    this.#objects = new Map()
    this.#trees = new Map()
    this.#bytes = 0
    this.#lastMs = this.#clock.monotonicMs()
    await this.#chunks.flush()
    this.#faultPoint('migration: contents stored')
    const objectBytes = objects.values().reduce((sum, one) => sum + contentSizeBytes(one), 0)
    await this.#database.transact(async (tx) => {
      await countRecorded(tx, { objects: objects.size, objectBytes })
      await recordImportedObjects(
        tx,
        this.#run,
        Array.from(objects, ([hash, content]) => ({ hash, content })),
      )
      for (const [hash, tree] of trees) await recordImportedTree(tx, this.#run, { hash, tree })
    })
    this.#faultPoint('migration: contents recorded')
    this.#leaving = new Map()
    this.#leavingTrees = new Map()
  }
}
