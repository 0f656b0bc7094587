/** The program of a splitter thread: see `split-threads.ts`. */

import { parentPort } from 'node:worker_threads'
import { assert } from '../../base/errors.ts'
import { chunkIdOf } from '../chunk-id.ts'
import { encodeChunk } from '../packs/compression.ts'
import type { SplitAnswer, SplitChunk, SplitRequest } from './split-protocol.ts'
import { segmentBytes } from './split-protocol.ts'
import { Splitter } from './splitter.ts'

const splitter = new Splitter(segmentBytes)

assert(parentPort !== null, 'this program runs in a worker thread')
const port = parentPort

port.on('message', (request: SplitRequest) => {
  const bytes = Buffer.from(request.memory)
  if (request.kind === 'split') {
    answer({ job: request.job, chunks: split(bytes, request), encoded: [] }, [])
    return
  }
  const encoded = request.chunks.map(({ start, end }) => {
    const { stored, encoding } = encodeChunk(bytes.subarray(start, end))
    return encoding === 'raw' ? undefined : new Uint8Array(stored)
  })
  const moved = encoded.flatMap((stored) => stored?.buffer ?? [])
  answer({ job: request.job, chunks: [], encoded }, moved)
})

function split(
  bytes: Uint8Array,
  { start, end, isLast }: Extract<SplitRequest, { kind: 'split' }>,
): readonly SplitChunk[] {
  splitter.reset()
  assert(splitter.push(bytes.subarray(start, end)) === end - start, 'a segment fits')
  const chunks: SplitChunk[] = []
  let at = start
  const add = (chunk: Uint8Array): void => {
    chunks.push({ id: chunkIdOf(chunk), start: at, end: at + chunk.length })
    at += chunk.length
  }
  for (let chunk = splitter.next(); chunk !== undefined; chunk = splitter.next()) add(chunk)
  if (isLast && splitter.pendingBytes > 0) add(splitter.rest())
  return chunks
}

function answer(message: SplitAnswer, moved: readonly ArrayBuffer[]): void {
  port.postMessage(message, moved)
}
