import { utf8, utf8Text } from '../base/bytes.ts'
import { GrowingBytes } from '../base/growing-bytes.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import type { Spool, Spools } from './spool.ts'

/** Keys that are handed on at once. */
const pageKeys = 500
/** What a spool is given at once: it keeps the room for as much. */
const sliceBytes = 256 * 1024
const lineEnd = 0x0a

/**
 * The keys that `read` finds in one snapshot, in its order, in pages of at most 500.
 *
 * For lists whose order changes while they are read: whoever reads them slowly holds neither the
 * snapshot nor the keys in memory, since many keys lie on disk meanwhile. Memory holds them all for
 * the moment of the snapshot only.
 */
export async function* snapshotKeys(
  { database, spools }: { readonly database: Database; readonly spools: Spools },
  read: (tx: ReadTransaction) => AsyncIterable<readonly string[]>,
): AsyncGenerator<readonly string[]> {
  await using spool = spools.open()
  await spoolKeys(spool, database, read)
  let page: string[] = []
  for await (const line of linesOf(spool.read(0, spool.sizeBytes))) {
    page.push(JSON.parse(line) as string)
    if (page.length < pageKeys) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

/** Writes the keys, each as JSON, which has no line end in it, and a line end. */
async function spoolKeys(
  spool: Spool,
  database: Database,
  read: (tx: ReadTransaction) => AsyncIterable<readonly string[]>,
): Promise<void> {
  const bytes = await database.read(async (tx) => {
    const lines = new GrowingBytes()
    for await (const keys of read(tx)) {
      lines.add(utf8(keys.map((key) => `${JSON.stringify(key)}\n`).join('')))
    }
    return lines.joined()
  })
  for (let start = 0; start < bytes.length; start += sliceBytes) {
    await spool.write(bytes.subarray(start, start + sliceBytes))
  }
}

/** Lines of UTF-8 text, each of which ends with a line end, which is left out. */
async function* linesOf(blocks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const begun = new GrowingBytes()
  for await (const block of blocks) {
    for (let start = 0; start < block.length;) {
      const end = block.indexOf(lineEnd, start)
      begun.add(block.subarray(start, end === -1 ? block.length : end))
      if (end === -1) break
      yield utf8Text(begun.joined())
      begun.clear()
      start = end + 1
    }
  }
}
