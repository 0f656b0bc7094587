import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { openSqlite } from '../database/sqlite.ts'
import type { MigrationStores } from '../migration/ports.ts'
import { openChunkStore } from '../storage/chunk-store.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import type { DataPlaces } from './data-directory.ts'
import { migrations } from './migrations.ts'

const cacheBytes = 8 * 1024 * 1024

/** Empty stores below the scratch directory, which go when they are disposed of. */
export async function openRehearsalStores(
  places: Pick<DataPlaces, 'scratch'>,
  clock: Clock,
): Promise<MigrationStores & AsyncDisposable> {
  const directory = directoryIn(places)
  await using opened = new AsyncDisposableStack()
  await forgetRehearsal(places)
  opened.defer(() => forgetRehearsal(places))
  await mkdir(directory, { recursive: true })
  const database = opened.use(await openSqlite({ path: directory, migrations, clock }))
  const objects = opened.use(await LocalObjectStore.open(join(directory, 'objects')))
  const scratchDirectory = join(directory, 'scratch')
  const bounds = { cacheBytes, indexCacheBytes: cacheBytes }
  const chunks = opened.use(
    await openChunkStore({ objects, database, scratchDirectory, ...bounds }),
  )
  const kept = opened.move()
  return {
    database,
    chunks,
    leases: chunks.leases,
    trees: new FileTrees(chunks),
    maps: new ProllyMaps(chunks),
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  }
}

/** Removes what a server that was killed may have left. */
export async function forgetRehearsal(places: Pick<DataPlaces, 'scratch'>): Promise<void> {
  await rm(directoryIn(places), { recursive: true, force: true })
}

function directoryIn({ scratch }: Pick<DataPlaces, 'scratch'>): string {
  return join(scratch, 'rehearsal')
}
