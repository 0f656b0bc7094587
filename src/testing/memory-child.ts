// Writes and reads a long content, then prints the most memory that the process has used, in KiB:
// memory-child.ts DIRECTORY MIB

import { ChunkedContents } from '../storage/chunked-contents.ts'
import { peakMemoryKib } from './peak-memory.ts'
import { openPackedStore } from './packed-store.ts'
import { seededBytes } from './seeded-random.ts'

const [directory = '', sizeMiB = '1'] = process.argv.slice(2)
const mib = 1024 * 1024

/** Half of it noise, half zeros. */
async function* stream(): AsyncGenerator<Uint8Array> {
  const zeros = new Uint8Array(mib)
  for (let part = 0; part < Number(sizeMiB); part += 1) {
    await Promise.resolve()
    yield part % 2 === 0 ? seededBytes(part, mib) : zeros
  }
}

await using parts = await openPackedStore({ directory })
const contents = new ChunkedContents(parts.store)
const content = await contents.write(stream())
await parts.store.flush()
let readBytes = 0
for await (const piece of contents.read(content)) readBytes += piece.length
if (readBytes !== Number(sizeMiB) * mib) throw new Error(`${readBytes} bytes came back`)
process.stdout.write(`${await peakMemoryKib()}\n`)
