// Writes long contents at once and reads them one by one, then prints the most memory that the process has
// used, in KiB: memory-child.ts DIRECTORY MIB [COUNT]

import { ChunkedContents } from '../storage/chunked-contents.ts'
import { peakMemoryKib } from './peak-memory.ts'
import { openPackedStore } from './packed-store.ts'
import { seededBytes } from './seeded-random.ts'

const [directory = '', sizeMiB = '1', count = '1'] = process.argv.slice(2)
const mib = 1024 * 1024
const pieceBytes = 64 * 1024

/** Half of it noise, half zeros, in pieces as they come over the wire. */
async function* stream(seed: number): AsyncGenerator<Uint8Array> {
  const zeros = new Uint8Array(pieceBytes)
  for (let part = 0; part < (Number(sizeMiB) * mib) / pieceBytes; part += 1) {
    await Promise.resolve()
    yield part % 32 < 16 ? seededBytes(100_000 * seed + part, pieceBytes) : zeros
  }
}

await using parts = await openPackedStore({ directory })
const contents = new ChunkedContents(parts.store)
const streams = Array.from({ length: Number(count) }, (_, seed) => stream(seed))
const written = await Promise.all(streams.map(async (bytes) => contents.write(bytes)))
await parts.store.flush()
for (const content of written) {
  let readBytes = 0
  for await (const piece of contents.read(content)) readBytes += piece.length
  if (readBytes !== Number(sizeMiB) * mib) throw new Error(`${readBytes} bytes came back`)
}
process.stdout.write(`${await peakMemoryKib()}\n`)
