import { join } from 'node:path'
import { SystemClock } from '../base/clock.ts'
import type { Database, Migrations } from '../database/database.ts'
import { openSqlite } from '../database/sqlite.ts'
import { type ChunkStoreOptions, openChunkStore } from '../storage/chunk-store.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { MemoryObjectStore } from '../storage/memory-objects.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { storageMigrations } from '../storage/tables.ts'
import { TemporaryDirectory } from './temporary-directory.ts'

type PackedStore = Awaited<ReturnType<typeof openChunkStore>>

/** A chunk store with all that it needs, in `directory`. */
export interface OpenedPackedStore extends AsyncDisposable {
  readonly directory: string
  readonly store: PackedStore
  readonly objects: ObjectStore
  readonly database: Database
}

export interface PackedStoreOptions extends Partial<ChunkStoreOptions> {
  /** By default, one that is removed at the end. */
  readonly directory?: string
  /** By default, those of storage alone. */
  readonly migrations?: readonly Migrations[]
}

export async function openPackedStore(
  options: PackedStoreOptions = {},
): Promise<OpenedPackedStore> {
  await using opened = new AsyncDisposableStack()
  const directory = options.directory ?? opened.use(await TemporaryDirectory.create()).path
  const database =
    options.database ??
    opened.use(
      await openSqlite({
        path: directory,
        migrations: options.migrations ?? [storageMigrations],
        clock: new SystemClock(),
      }),
    )
  const objects =
    options.objects ??
    opened.use(await LocalObjectStore.open(join(directory, 'objects'), options.faultPoint))
  const scratchDirectory = join(directory, 'scratch')
  const store = opened.use(
    await openChunkStore({ scratchDirectory, ...options, objects, database }),
  )
  const parts = opened.move()
  return {
    directory,
    store,
    objects,
    database,
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}

/** As `openPackedStore`, with the objects in memory. */
export async function openPackedStoreInMemory(): Promise<OpenedPackedStore> {
  return await openPackedStore({ objects: new MemoryObjectStore() })
}
