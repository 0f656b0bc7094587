import { join } from 'node:path'
import { SystemClock } from '../base/clock.ts'
import { openSqlite } from '../database/sqlite.ts'
import { describeChunkStore } from '../testing/chunk-store-conformance.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { openChunkStore } from './chunk-store.ts'
import type { ChunkStore } from './chunks.ts'
import { LocalObjectStore } from './local-objects.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { MemoryObjectStore } from './memory-objects.ts'
import { storageMigrations } from './tables.ts'

async function openPacked(local: boolean): Promise<ChunkStore & AsyncDisposable> {
  await using opened = new AsyncDisposableStack()
  const directory = opened.use(await TemporaryDirectory.create())
  const database = opened.use(
    await openSqlite({
      path: directory.path,
      migrations: [storageMigrations],
      clock: new SystemClock(),
    }),
  )
  const objects = local
    ? opened.use(await LocalObjectStore.open(join(directory.path, 'objects')))
    : new MemoryObjectStore()
  const scratchDirectory = join(directory.path, 'scratch')
  const store = opened.use(
    await openChunkStore({ objects, database, scratchDirectory, cacheBytes: 0 }),
  )
  const parts = opened.move()
  return {
    get: (id) => store.get(id),
    put: (bytes) => store.put(bytes),
    flush: () => store.flush(),
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}

describeChunkStore('memory', () =>
  Promise.resolve(
    Object.assign(new MemoryChunkStore(), { [Symbol.asyncDispose]: () => Promise.resolve() }),
  ),
)
describeChunkStore('packs in memory', () => openPacked(false))
describeChunkStore('packs in a directory', () => openPacked(true))
