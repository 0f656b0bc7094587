import { Batched } from '../../base/batched.ts'
import { compareBytes } from '../../base/bytes.ts'
import type { FilePath } from '../../base/paths.ts'
import type { ChunkId, ChunkReader, ChunkStore } from '../../storage/chunks.ts'
import type { Content } from '../../storage/contents.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import { StagedBytesReader, StagedBytesWriter, damaged } from './staged-bytes.ts'

/** What a bulk write puts at one path: of a file its content, of a split the directory of its pieces. */
export interface RunRecord<Value extends RunValue = Content> {
  readonly key: Uint8Array
  /** The path that is the key, where it is known; not stored. */
  readonly path?: FilePath
  readonly overwrite: boolean
  readonly content: Value
}

export type RunValue = Content | DirectoryEntry

/** How the values of the records of a run are written. */
export interface RunCodec<Value extends RunValue> {
  write(writer: StagedBytesWriter, value: Value): void
  read(reader: StagedBytesReader): Value
}

export const fileCodec: RunCodec<Content> = {
  write: (writer, content) => writer.content(content),
  read: (reader) => reader.content(),
}

export const piecesCodec: RunCodec<DirectoryEntry> = {
  write: (writer, pieces) => writer.pieces(pieces),
  read: (reader) => reader.pieces(),
}

/** The chunks that hold records sorted by key, equal keys in the order in which they were put. */
export type Run = readonly ChunkId[]

const runVersion = 1
/**
 * A chunk ends with the record that fills this; small, since a merge holds one of each run, and in
 * memory its records take ten times as much.
 */
const runChunkBytes = 32 * 1024

/** Stores records that come sorted as a run. Durable after the next flush. */
export class RunWriter<Value extends RunValue> {
  readonly #chunks: ChunkStore
  readonly #codec: RunCodec<Value>
  readonly #writer = new StagedBytesWriter()
  readonly #run: ChunkId[] = []

  constructor(chunks: ChunkStore, codec: RunCodec<Value>) {
    this.#chunks = chunks
    this.#codec = codec
  }

  /** Undefined when there is nothing to wait for. */
  add({ key, overwrite, content }: RunRecord<Value>): Promise<void> | undefined {
    const writer = this.#writer
    if (writer.sizeBytes === 0) writer.byte(runVersion)
    writer.sized(key)
    writer.byte(overwrite ? 1 : 0)
    this.#codec.write(writer, content)
    return writer.sizeBytes < runChunkBytes ? undefined : this.#store()
  }

  /** Nothing can be added after it. */
  async end(): Promise<Run> {
    if (this.#writer.sizeBytes > 0) await this.#store()
    return this.#run
  }

  #store(): Promise<void> | undefined {
    const stored = this.#chunks.put(this.#writer.take())
    if (typeof stored === 'string') this.#run.push(stored)
    else return stored.then((chunk) => void this.#run.push(chunk))
    return undefined
  }
}

/** Stores records that are sorted already. Durable after the next flush. */
export async function writeRun<Value extends RunValue>(
  chunks: ChunkStore,
  codec: RunCodec<Value>,
  records: Iterable<RunRecord<Value>> | AsyncIterable<RunRecord<Value>>,
): Promise<Run> {
  const writer = new RunWriter(chunks, codec)
  for await (const record of records) await writer.add(record)
  return await writer.end()
}

async function* readRun<Value extends RunValue>(
  chunks: ChunkReader,
  codec: RunCodec<Value>,
  run: Run,
): AsyncGenerator<readonly RunRecord<Value>[]> {
  for (const chunk of run) yield recordsOfChunk(codec, await chunks.get(chunk))
}

/** The records in one chunk of a run. @throws {DataLossError} */
export function recordsOfChunk<Value extends RunValue>(
  codec: RunCodec<Value>,
  bytes: Uint8Array,
): readonly RunRecord<Value>[] {
  const reader = new StagedBytesReader(bytes)
  const version = reader.byte()
  if (version !== runVersion) throw damaged(`run version ${version} is unknown`)
  const records: RunRecord<Value>[] = []
  while (!reader.atEnd) {
    const key = reader.sized()
    records.push({ key, overwrite: reader.byte() === 1, content: codec.read(reader) })
  }
  return records
}

interface OpenRun<Value extends RunValue> {
  /** Earlier runs come first among equal keys. */
  readonly order: number
  readonly pages: AsyncGenerator<readonly RunRecord<Value>[]>
  page: readonly RunRecord<Value>[]
  index: number
}

/**
 * Merges runs into one sequence in key order; equal keys stay in the order in which they were put.
 * Holds one chunk of each run in memory.
 */
export function mergeRuns<Value extends RunValue>(
  chunks: ChunkReader,
  codec: RunCodec<Value>,
  runs: readonly Run[],
): Batched<RunRecord<Value>> {
  return new Batched(merged(chunks, codec, runs))
}

const batchRecordsMax = 256

async function* merged<Value extends RunValue>(
  chunks: ChunkReader,
  codec: RunCodec<Value>,
  runs: readonly Run[],
): AsyncGenerator<readonly RunRecord<Value>[]> {
  const open: OpenRun<Value>[] = []
  for (const [order, run] of runs.entries()) {
    const pages = readRun(chunks, codec, run)
    const started: OpenRun<Value> = { order, pages, page: [], index: 0 }
    if (await fillPage(started)) open.push(started)
  }
  // The runs as a heap: the one with the least next record is first.
  for (let index = Math.floor(open.length / 2); index >= 0; index -= 1) siftDown(open, index)
  let batch: RunRecord<Value>[] = []
  for (let least = open[0]; least !== undefined; least = open[0]) {
    const record = least.page[least.index]
    if (record === undefined) throw damaged('a run has an empty page')
    batch.push(record)
    if (batch.length === batchRecordsMax) {
      yield batch
      batch = []
    }
    least.index += 1
    if (least.index >= least.page.length && !(await fillPage(least))) {
      const last = open.pop()
      if (last !== undefined && open.length > 0) open[0] = last
    }
    siftDown(open, 0)
  }
  if (batch.length > 0) yield batch
}

/** False at the end of the run. */
async function fillPage<Value extends RunValue>(run: OpenRun<Value>): Promise<boolean> {
  const next = await run.pages.next()
  if (next.done === true) return false
  run.page = next.value
  run.index = 0
  return true
}

function siftDown<Value extends RunValue>(heap: OpenRun<Value>[], from: number): void {
  let index = from
  for (;;) {
    const item = heap[index]
    if (item === undefined) return
    let least = item
    let leastIndex = index
    for (const childIndex of [index * 2 + 1, index * 2 + 2]) {
      const child = heap[childIndex]
      if (child !== undefined && comesBefore(child, least)) {
        least = child
        leastIndex = childIndex
      }
    }
    if (leastIndex === index) return
    heap[index] = least
    heap[leastIndex] = item
    index = leastIndex
  }
}

function comesBefore(left: OpenRun<RunValue>, right: OpenRun<RunValue>): boolean {
  const leftKey = left.page[left.index]?.key
  const rightKey = right.page[right.index]?.key
  if (leftKey === undefined || rightKey === undefined) throw damaged('a run has an empty page')
  const difference = compareBytes(leftKey, rightKey)
  return difference < 0 || (difference === 0 && left.order < right.order)
}

/** The runs of a bulk write as one payload. */
export function encodeRuns(runs: readonly Run[]): Uint8Array {
  const writer = new StagedBytesWriter()
  writer.byte(runVersion)
  writer.varint(runs.length)
  for (const run of runs) {
    writer.varint(run.length)
    for (const chunk of run) writer.chunkId(chunk)
  }
  return writer.take()
}

/** The inverse of `encodeRuns`. @throws {DataLossError} */
export function decodeRuns(payload: Uint8Array): readonly Run[] {
  const reader = new StagedBytesReader(payload)
  const version = reader.byte()
  if (version !== runVersion) throw damaged(`bulk version ${version} is unknown`)
  const count = reader.varint()
  const runs: Run[] = []
  for (let index = 0; index < count; index += 1) {
    const length = reader.varint()
    const run: ChunkId[] = []
    for (let chunk = 0; chunk < length; chunk += 1) run.push(reader.chunkId())
    runs.push(run)
  }
  if (!reader.atEnd) throw damaged('a bulk write has bytes left over')
  return runs
}
