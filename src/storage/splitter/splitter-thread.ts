/** The program of a splitter thread: see `split-threads.ts`. */

import { parentPort } from 'node:worker_threads'
import { assert, unreachable } from '../../base/errors.ts'
import { chunkIdOf } from '../chunk-id.ts'
import { emptyBytes } from '../../base/bytes.ts'
import { compressedChunk } from '../packs/compression.ts'
import { CutFinder } from './cut-finder.ts'
import {
  type ChunkRange,
  type HashedChunk,
  type SplitAnswer,
  type SplitRequest,
} from './split-protocol.ts'

const finder = new CutFinder()

assert(parentPort !== null, 'this program runs in a worker thread')
const port = parentPort

port.on('message', (request: SplitRequest) => {
  const { job, kind } = request
  const bytes = Buffer.from(request.memory)
  switch (kind) {
    case 'split':
      answer({ job, chunks: split(bytes, request), hashed: [], encoded: [] })
      break
    case 'hash': {
      const hashed = request.chunks.map((chunk) => hash(bytes, chunk))
      answer({ job, chunks: [], hashed, encoded: [] })
      break
    }
    case 'encode': {
      const encoded = request.chunks.map(({ start, end }) =>
        compressedChunk(bytes.subarray(start, end)),
      )
      // Its memory moves to the other thread.
      const moved = encoded.flatMap((stored) => stored?.buffer ?? [])
      answer({ job, chunks: [], hashed: [], encoded }, moved)
      break
    }
    default:
      unreachable(kind)
  }
})

function split(
  bytes: Uint8Array,
  { start, end, isLast }: Extract<SplitRequest, { kind: 'split' }>,
): readonly ChunkRange[] {
  const chunks: ChunkRange[] = []
  let at = start
  const next = (): number | undefined => finder.find(emptyBytes, bytes.subarray(at, end))
  for (let count = next(); count !== undefined; count = next()) {
    chunks.push({ start: at, end: at + count })
    at += count
  }
  if (isLast && at < end) chunks.push({ start: at, end })
  return chunks
}

function hash(bytes: Uint8Array, { start, end }: ChunkRange): HashedChunk {
  return { id: chunkIdOf(bytes.subarray(start, end)), start, end }
}

function answer(message: SplitAnswer, moved: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, moved)
}
