import { compareBytes } from '../../base/bytes.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import { type FilePath, pathKey } from '../../base/paths.ts'
import type { ChunkStore } from '../../storage/chunks.ts'
import {
  mergeRuns,
  type Run,
  type RunCodec,
  type RunRecord,
  type RunValue,
  RunWriter,
  writeRun,
} from './runs.ts'

/** Records that are sorted in memory at once; each has its path and at most 64 bytes of content. */
const sortedMax = 32 * 1024
/** So many records that have come by key begin a run of their own, which can be of any length. */
const sortedMin = 256
const firstKey = new Uint8Array(0)
/** Runs that are merged into one, so that a merge never has many open. */
const mergedMax = 32

/** Is told of records for as long as they come by key. */
export interface RecordFollower<Value extends RunValue> {
  /** Undefined when there is nothing to wait for. */
  add(record: RunRecord<Value>): Promise<void> | undefined
  /** A record has come out of order. */
  abandon(): void
}

/** Collects what a bulk write puts as sorted runs in the chunk store. */
export class RunCollector<Value extends RunValue> {
  readonly #chunks: ChunkStore
  readonly #codec: RunCodec<Value>
  readonly #follower: RecordFollower<Value> | undefined
  /** The last key, for as long as records come by key, as those of a file tree do. */
  #lastKey: Uint8Array | undefined = firstKey
  /** The run of records that came by key, once they are many. */
  #sorted: RunWriter<Value> | undefined
  #records: RunRecord<Value>[] = []
  /** Runs by how often they were merged; within a level, and from high to low, in put order. */
  readonly #levels: Run[][] = []
  #state: 'collecting' | 'ended' = 'collecting'

  constructor(chunks: ChunkStore, codec: RunCodec<Value>, follower?: RecordFollower<Value>) {
    this.#chunks = chunks
    this.#codec = codec
    this.#follower = follower
  }

  /** Undefined when there is nothing to wait for. */
  add(path: FilePath, content: Value, overwrite: boolean): Promise<void> | undefined {
    this.requireCollecting()
    const record = { key: pathKey(path), path, overwrite, content }
    if (this.#lastKey === undefined) return this.#addUnsorted(record)
    if (compareBytes(this.#lastKey, record.key) > 0) return this.#endSorted(record)
    this.#lastKey = record.key
    const stored = this.#addSorted(record)
    const followed = this.#follower?.add(record)
    return stored === undefined ? followed : stored.then(() => followed)
  }

  /** All runs, in put order. Nothing can be added after it. */
  async end(): Promise<readonly Run[]> {
    this.requireCollecting()
    this.#state = 'ended'
    await this.#keepSorted()
    await this.#spill()
    return this.#levels.toReversed().flat()
  }

  abandon(): void {
    this.#state = 'ended'
    this.#records = []
  }

  /** @throws {FailedPreconditionError} when it has ended. */
  requireCollecting(): void {
    if (this.#state === 'collecting') return
    throw new FailedPreconditionError('this bulk write has ended; start another one')
  }

  #addSorted(record: RunRecord<Value>): Promise<void> | undefined {
    if (this.#sorted !== undefined) return this.#sorted.add(record)
    this.#records.push(record)
    return this.#records.length < sortedMin ? undefined : this.#startSorted()
  }

  async #startSorted(): Promise<void> {
    this.#sorted = new RunWriter(this.#chunks, this.#codec)
    for (const record of this.#records.splice(0)) await this.#sorted.add(record)
  }

  /** From now on, records are sorted here. */
  async #endSorted(record: RunRecord<Value>): Promise<void> {
    this.#lastKey = undefined
    this.#follower?.abandon()
    await this.#keepSorted()
    await this.#addUnsorted(record)
  }

  async #keepSorted(): Promise<void> {
    const run = await this.#sorted?.end()
    this.#sorted = undefined
    if (run !== undefined) await this.#keep(run, 0)
  }

  #addUnsorted(record: RunRecord<Value>): Promise<void> | undefined {
    this.#records.push(record)
    return this.#records.length < sortedMax ? undefined : this.#spill()
  }

  async #spill(): Promise<void> {
    if (this.#records.length === 0) return
    // The sort is stable: equal keys stay in put order.
    const sorted = this.#records.toSorted((left, right) => compareBytes(left.key, right.key))
    this.#records = []
    await this.#keep(await writeRun(this.#chunks, this.#codec, sorted), 0)
  }

  async #keep(run: Run, level: number): Promise<void> {
    const runs = this.#levels[level] ?? []
    this.#levels[level] = [...runs, run]
    if (runs.length + 1 < mergedMax) return
    const records = mergeRuns(this.#chunks, this.#codec, [...runs, run])
    const merged = await writeRun(this.#chunks, this.#codec, records)
    this.#levels[level] = []
    await this.#keep(merged, level + 1)
  }
}
