// The storage layer alone: large contents in and out, and many small ones in. Run by itself:
// tools/node bench/storage.ts DIRECTORY [MIB]

import { createReadStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { SystemClock } from '../src/base/clock.ts'
import { openSqlite } from '../src/database/sqlite.ts'
import { ChunkedContents } from '../src/storage/chunked-contents.ts'
import { openChunkStore } from '../src/storage/chunk-store.ts'
import { LocalObjectStore } from '../src/storage/local-objects.ts'
import { storageMigrations } from '../src/storage/tables.ts'
import { peakMemoryMib } from './processes.ts'

const mib = 1024 * 1024

export interface StorageRates {
  readonly copyMiBPerSecond: number
  readonly catMiBPerSecond: number
  readonly writeMiBPerSecond: number
  readonly readMiBPerSecond: number
  readonly smallPutsPerSecond: number
}

/** Seconds that `work` takes. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

async function writeNoise(path: string, sizeMiB: number): Promise<void> {
  await using file = await open(path, 'w')
  const bytes = new Uint8Array(mib)
  for (let part = 0; part < sizeMiB; part += 1) {
    for (let at = 0; at < mib; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
    await file.write(bytes)
  }
  await file.sync()
}

/** Measures in `directory`, which must be empty and is emptied again. */
export async function measureStorage(directory: string, sizeMiB: number): Promise<StorageRates> {
  const input = join(directory, 'input')
  await writeNoise(input, sizeMiB)
  const shell = (command: string): Promise<number> =>
    timed(() => Promise.resolve(spawnSync('sh', ['-c', command], { cwd: directory })))
  await shell('cat input >/dev/null')
  const copySeconds = await shell('cp input copy && sync copy')
  await rm(join(directory, 'copy'))
  await using opened = new AsyncDisposableStack()
  const database = opened.use(
    await openSqlite({
      path: directory,
      migrations: [storageMigrations],
      clock: new SystemClock(),
    }),
  )
  const objects = opened.use(await LocalObjectStore.open(join(directory, 'objects')))
  const scratchDirectory = join(directory, 'scratch')
  const store = opened.use(await openChunkStore({ objects, database, scratchDirectory }))
  const contents = new ChunkedContents(store)

  let content = await contents.writeBytes(new Uint8Array(0))
  const writeSeconds = await timed(async () => {
    content = await contents.write(createReadStream(input, { highWaterMark: mib }))
    await store.flush()
  })
  const catSeconds = await shell('cat input >/dev/null')
  let readBytes = 0
  const readSeconds = await timed(async () => {
    for await (const piece of contents.read(content)) readBytes += piece.length
  })
  if (readBytes !== sizeMiB * mib) throw new Error(`${readBytes} bytes came back`)

  const smallCount = 100_000
  const small = new Uint8Array(smallCount * 1024)
  {
    await using file = await open(input)
    await file.read(small)
  }
  const smallSeconds = await timed(async () => {
    for (let at = 0; at + 1024 <= small.length; at += 1024) {
      await contents.writeBytes(small.subarray(at, at + 1024))
    }
    await store.flush()
  })
  return {
    copyMiBPerSecond: sizeMiB / copySeconds,
    catMiBPerSecond: sizeMiB / catSeconds,
    writeMiBPerSecond: sizeMiB / writeSeconds,
    readMiBPerSecond: sizeMiB / readSeconds,
    smallPutsPerSecond: small.length / 1024 / smallSeconds,
  }
}

const [directory, size] = process.argv.slice(2)
if (import.meta.main && directory !== undefined) {
  console.log(await measureStorage(directory, Number(size ?? 1024)))
  console.log('peak memory, MiB:', Math.round(peakMemoryMib(process.pid) ?? 0))
}
