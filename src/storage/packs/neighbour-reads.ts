import { DataLossError } from '../../base/errors.ts'
import type { ChunkId } from '../chunks.ts'
import type { ObjectStore } from '../object-store.ts'
import { checkedChunk } from './checked-chunk.ts'
import type { FoundChunk, SealedPacks } from './sealed-packs.ts'

/** One read covers so much of a pack at most … */
const runBytesMax = 4 * 1024 * 1024
/** … and what lies between two chunks is read with them when it is no more than this. */
const gapBytesMax = 64 * 1024

interface WantedChunk extends FoundChunk {
  readonly id: ChunkId
}

/** Chunks that lie close together in one pack. */
interface Run {
  readonly chunks: WantedChunk[]
  readonly start: number
  end: number
}

/**
 * Reads many chunks of sealed packs, those that lie close together in one read: what was put in one
 * go lies so. What cannot be read in this way is left out, for whoever reads one chunk at a time and
 * can say why. Views of one chunk keep the memory of its neighbours.
 */
export async function readNeighbours(
  { sealed, objects }: { readonly sealed: SealedPacks; readonly objects: ObjectStore },
  ids: Iterable<ChunkId>,
): Promise<ReadonlyMap<ChunkId, Uint8Array>> {
  const found = await sealed.findMany(new Set(ids))
  const wanted = Array.from(found, ([id, place]): WantedChunk => ({ id, ...place }))
  const read = new Map<ChunkId, Uint8Array>()
  await Promise.all(runsOf(wanted).map((run) => readRun(objects, run, read)))
  return read
}

function runsOf(wanted: readonly WantedChunk[]): readonly Run[] {
  const runs: Run[] = []
  for (const ofPack of Map.groupBy(wanted, ({ pack }) => pack.name).values()) {
    let last: Run | undefined
    for (const chunk of ofPack.toSorted((left, right) => left.entry.offset - right.entry.offset)) {
      const { offset, storedBytes } = chunk.entry
      const end = offset + storedBytes
      if (last === undefined || offset - last.end > gapBytesMax || end - last.start > runBytesMax) {
        last = { chunks: [], start: offset, end }
        runs.push(last)
      }
      last.chunks.push(chunk)
      last.end = end
    }
  }
  return runs
}

async function readRun(
  objects: ObjectStore,
  { chunks, start, end }: Run,
  read: Map<ChunkId, Uint8Array>,
): Promise<void> {
  const [first] = chunks
  if (first === undefined) return
  let bytes: Uint8Array
  try {
    bytes = await objects.get(first.key, start, end - start)
  } catch {
    return // one bad sector among them, perhaps: each is read by itself
  }
  for (const { id, entry, pack } of chunks) {
    const stored = bytes.subarray(entry.offset - start, entry.offset - start + entry.storedBytes)
    try {
      read.set(id, await checkedChunk(id, stored, entry, `pack ${pack.name}`))
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
    }
  }
}
