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
  writeRun,
} from './runs.ts'

/** Records that are sorted in memory at once; each has its path and at most 64 bytes of content. */
const sortedMax = 32 * 1024
/** Runs that are merged into one, so that a merge never has many open. */
const mergedMax = 32

/** Collects what a bulk write puts as sorted runs in the chunk store. */
export class RunCollector<Value extends RunValue> {
  readonly #chunks: ChunkStore
  readonly #codec: RunCodec<Value>
  #records: RunRecord<Value>[] = []
  /** Runs by how often they were merged; within a level, and from high to low, in put order. */
  readonly #levels: Run[][] = []
  #state: 'collecting' | 'ended' = 'collecting'

  constructor(chunks: ChunkStore, codec: RunCodec<Value>) {
    this.#chunks = chunks
    this.#codec = codec
  }

  async add(path: FilePath, content: Value, overwrite: boolean): Promise<void> {
    this.requireCollecting()
    this.#records.push({ key: pathKey(path), overwrite, content })
    if (this.#records.length >= sortedMax) await this.#spill()
  }

  /** All runs, in put order. Nothing can be added after it. */
  async end(): Promise<readonly Run[]> {
    this.requireCollecting()
    this.#state = 'ended'
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
