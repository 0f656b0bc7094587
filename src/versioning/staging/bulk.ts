import { compareBytes, type ByteStream } from '../../base/bytes.ts'
import { FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
import { type FilePath, parseFilePath, pathKey, rootPath } from '../../base/paths.ts'
import { type Content, contentSizeBytes } from '../../storage/contents.ts'
import type { VersioningPorts } from '../ports.ts'
import { mergeRuns, type Run, type RunRecord, writeRun } from './runs.ts'

/** Records that are sorted in memory at once; each has its path and at most 64 bytes of content. */
const sortedMax = 32 * 1024
/** Runs that are merged into one, so that a merge never has many open. */
const mergedMax = 32

/** Collects the files of a bulk write as sorted runs in the chunk store. */
export class RunCollector {
  readonly #ports: VersioningPorts
  #records: RunRecord[] = []
  /** Runs by how often they were merged; within a level, and from high to low, in put order. */
  readonly #levels: Run[][] = []
  #fileCount = 0
  #sizeBytes = 0
  #state: 'collecting' | 'ended' = 'collecting'

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  get fileCount(): number {
    return this.#fileCount
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  async add(pathText: string, bytes: ByteStream | Uint8Array, overwrite: boolean): Promise<void> {
    this.#requireCollecting()
    const path = parsePutPath(pathText)
    const { contents } = this.#ports
    const content =
      bytes instanceof Uint8Array ? await contents.writeBytes(bytes) : await contents.write(bytes)
    await this.#addRecord({ key: pathKey(path), overwrite, content })
  }

  /** As `add`, of a content that is stored. */
  async addStored(pathText: string, content: Content, overwrite: boolean): Promise<void> {
    this.#requireCollecting()
    await this.#addRecord({ key: pathKey(parsePutPath(pathText)), overwrite, content })
  }

  async #addRecord(record: RunRecord): Promise<void> {
    const { content } = record
    this.#records.push(record)
    this.#fileCount += 1
    this.#sizeBytes += contentSizeBytes(content)
    if (this.#records.length >= sortedMax) await this.#spill()
  }

  /** All runs, in put order. Nothing can be added after it. */
  async end(): Promise<readonly Run[]> {
    this.#requireCollecting()
    this.#state = 'ended'
    await this.#spill()
    return this.#levels.toReversed().flat()
  }

  abandon(): void {
    this.#state = 'ended'
    this.#records = []
  }

  #requireCollecting(): void {
    if (this.#state === 'collecting') return
    throw new FailedPreconditionError('this bulk write has ended; start another one')
  }

  async #spill(): Promise<void> {
    if (this.#records.length === 0) return
    // The sort is stable: equal keys stay in put order.
    const sorted = this.#records.toSorted((left, right) => compareBytes(left.key, right.key))
    this.#records = []
    await this.#keep(await writeRun(this.#ports.chunks, sorted), 0)
  }

  async #keep(run: Run, level: number): Promise<void> {
    const runs = this.#levels[level] ?? []
    this.#levels[level] = [...runs, run]
    if (runs.length + 1 < mergedMax) return
    const { chunks } = this.#ports
    const merged = await writeRun(chunks, mergeRuns(chunks, [...runs, run]))
    this.#levels[level] = []
    await this.#keep(merged, level + 1)
  }
}

/** @throws {InvalidArgumentError} for a path where no file can be. */
export function parsePutPath(text: string): FilePath {
  const path = parseFilePath(text)
  if (path === rootPath) throw new InvalidArgumentError('cannot put a file at the root')
  return path
}
