import { collectBytes, utf8Text } from '../base/bytes.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import type { Split } from '../versioning/splits.ts'
import { piecesOf } from '../versioning/splitting/pieces.ts'
import { MemorySpools } from './memory-spools.ts'

const pieceBytesMax = 64 * 1024 * 1024

/** The pieces of a stream, as text; their names must count from 0. */
export async function piecesOfSlices(
  slices: readonly Uint8Array[],
  split: Partial<Split> & Pick<Split, 'format'>,
): Promise<readonly string[]> {
  const contents = new ChunkedContents(new MemoryChunkStore())
  const ports = { contents, spools: new MemorySpools() }
  // As from a source that uses its buffer again.
  const buffer = new Uint8Array(Math.max(0, ...slices.map(({ length }) => length)))
  async function* reused(): AsyncGenerator<Uint8Array> {
    for (const slice of slices) {
      buffer.set(slice)
      yield buffer.subarray(0, slice.length)
      buffer.fill(0)
    }
  }
  const source = { bytes: reused(), path: '/in', signal: undefined }
  const whole: Split = {
    targetRecords: 0,
    targetBytes: 0,
    headerRecords: 0,
    footerRecords: 0,
    ...split,
  }
  const pieces: string[] = []
  for await (const batch of piecesOf(ports, source, whole)) {
    for (const { name, content } of batch) {
      if (Number.parseInt(name, 16) !== pieces.length || name.length !== 16) {
        throw new Error(`piece ${pieces.length} is called ${name}`)
      }
      const bytes = await collectBytes(contents.read(content), pieceBytesMax)
      pieces.push(utf8Text(bytes))
    }
  }
  return pieces
}
