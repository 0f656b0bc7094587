// Writes small files and makes each durable before the next, in some loops at once: what single puts are measured
// against: plain-writer.ts DIRECTORY LOOPS FILES. Tells the milliseconds to the process that forked it.

import { mkdir, open } from 'node:fs/promises'
import { smallChanges } from './seeded-files.ts'

const [directory = '', loops, files] = process.argv.slice(2)
await mkdir(directory)
const puts = smallChanges(directory, Number(files), 0)
const startMs = performance.now()
await Promise.all(
  Array.from({ length: Number(loops) }, async () => {
    for (const { path, bytes } of puts) {
      await using file = await open(path, 'wx')
      if (bytes instanceof Uint8Array) await file.write(bytes)
      await file.sync()
    }
  }),
)
process.send?.(performance.now() - startMs)
