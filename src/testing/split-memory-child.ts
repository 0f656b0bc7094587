// Splits a long stream, then prints the most memory that the process has used, in KiB:
// split-memory-child.ts DIRECTORY FORMAT MIB

import { peakMemoryKib } from './peak-memory.ts'
import { openStoredVersioning } from './stored-versioning.ts'
import { seededBytes } from './seeded-random.ts'
import { byLine } from './versioning-pair.ts'
import type { SplitFormat } from '../versioning/splits.ts'

const [directory = '', format = 'line', sizeMiB = '1'] = process.argv.slice(2)
const mib = 1024 * 1024

/** Lines that are rows of a dump as well, a hundred characters each: half noise, half not. */
async function* stream(): AsyncGenerator<Uint8Array> {
  if (format === 'sql') yield Buffer.from('COPY t (a) FROM stdin;\n')
  for (let part = 0; part < Number(sizeMiB); part += 1) {
    await Promise.resolve()
    const bytes = Buffer.from(Buffer.from(seededBytes(part, mib / 2)).toString('hex'), 'latin1')
    for (let at = 99; at < bytes.length; at += 100) bytes[at] = 10
    yield bytes
  }
  if (format === 'sql') yield Buffer.from('\n\\.\n\n-- the end\n')
}

await using opened = await openStoredVersioning(directory)
const { commits, repos, writes } = opened.versioning
await repos.create({ name: 'r' })
await commits.start({ repo: 'r', branch: 'master' })
const split = { ...byLine, format: format as SplitFormat, targetBytes: 30_000 }
{
  await using bulk = await writes.bulk('r', 'master', { split })
  await bulk.put('log', stream())
  const { sizeBytes } = await bulk.commit()
  if (sizeBytes < Number(sizeMiB) * mib) throw new Error(`${sizeBytes} bytes were put`)
}
await commits.finish('r', 'master')
process.stdout.write(`${await peakMemoryKib()}\n`)
