import { expect, test } from 'vitest'
import { concatBytes } from '../base/bytes.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { Content } from './contents.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { seededBytes } from '../testing/seeded-random.ts'

/** The parts, each in the same `Buffer`, as a socket or a file reader may hand them out. */
async function* inOneBuffer(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(Math.max(...parts.map((part) => part.length)))
  for (const part of parts) {
    buffer.set(part)
    yield buffer.subarray(0, part.length)
    await Promise.resolve()
  }
}

async function readAll(contents: ChunkedContents, content: Content): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of contents.read(content)) parts.push(part)
  return concatBytes(parts)
}

test.each([10, 5000, 200_000])(
  'a source may use one buffer for parts of %i bytes',
  async (size) => {
    const contents = new ChunkedContents(new MemoryChunkStore())
    const parts = [1, 2, 3].map((seed) => seededBytes(seed, size))
    const content = await contents.write(inOneBuffer(parts))
    expect(Buffer.compare(await readAll(contents, content), concatBytes(parts))).toBe(0)
  },
)

test('a tiny content does not keep the buffer that it came in', async () => {
  const contents = new ChunkedContents(new MemoryChunkStore())
  const content = await contents.writeBytes(Buffer.alloc(1024 * 1024).subarray(0, 10))
  expect(content.kind === 'inline' && content.bytes.buffer.byteLength).toBe(10)
})
