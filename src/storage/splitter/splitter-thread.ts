/** The program of a splitter thread: see `split-threads.ts`. */

import { parentPort } from 'node:worker_threads'
import { assert, unreachable } from '../../base/errors.ts'
import { chunkIdOf } from '../chunk-id.ts'
import { compressedChunk } from '../packs/compression.ts'
import {
  type ChunkRange,
  type HashedChunk,
  segmentBytes,
  type SplitAnswer,
  type SplitRequest,
} from './split-protocol.ts'
import { Splitter } from './splitter.ts'

const splitter = new Splitter(segmentBytes)

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
  splitter.reset()
  assert(splitter.push(bytes.subarray(start, end)) === end - start, 'a segment fits')
  const chunks: ChunkRange[] = []
  let at = start
  const add = (chunk: Uint8Array): void => {
    chunks.push({ start: at, end: at + chunk.length })
    at += chunk.length
  }
  for (let chunk = splitter.next(); chunk !== undefined; chunk = splitter.next()) add(chunk)
  if (isLast && splitter.pendingBytes > 0) add(splitter.rest())
  return chunks
}

function hash(bytes: Uint8Array, { start, end }: ChunkRange): HashedChunk {
  return { id: chunkIdOf(bytes.subarray(start, end)), start, end }
}

function answer(message: SplitAnswer, moved: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, moved)
}
