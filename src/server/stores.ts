import { Turns } from '../base/turns.ts'
import type { Database, StoreUpgrade } from '../database/database.ts'
import { openSqlite } from '../database/sqlite.ts'
import { type ChunkStoreOptions, openChunkStore, type PackStore } from '../storage/chunk-store.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { FileTrees } from '../storage/file-trees.ts'
import type { Leases } from '../storage/leases.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import { FileSpools } from '../storage/spool.ts'
import type { ServerConfig } from './server-config.ts'
import { isDataDirectory, openDataDirectory } from './data-directory.ts'
import { dataLossReport } from './reports/data-loss-report.ts'
import { diskFullReport } from './reports/disk-full-report.ts'
import { type DoorsConfig, probeDoors } from './doors.ts'
import type { Log } from './log.ts'
import { migrations } from './migrations.ts'
import { openPackPlaces } from './pack-places.ts'
import { noClouds, type ServerPorts } from './ports.ts'
import { applyRestored } from './backing-up/restored-metadata.ts'

/** After a crash a few packs may not be listed yet; many may mean that the metadata are too old. */
const adoptedText =
  'packs were found that were not listed, and are now: after a crash that is normal; else look whether the last commits are there'

const damagedLogText =
  'part of the log of the metadata could not be read, and a copy of it was kept: after a loss of power that is normal; else look whether the last commits are there, and delete the copy if so'

/** Enough for thousands of small changes of the metadata. */
const reserveBytes = 1024 * 1024

/** Where everything is kept. */
export interface Stores extends AsyncDisposable {
  readonly directory: Awaited<ReturnType<typeof openDataDirectory>>
  readonly database: Database
  readonly objects: ObjectStore
  /** Where the packs are, when not in the directory. */
  readonly bucketUrl?: string
  /** Resolves when all that was put is where the packs are. @throws what keeps it from that. */
  readonly uploaded: () => Promise<void>
  readonly chunks: PackStore
  readonly leases: Leases
  readonly contents: ChunkedContents
  readonly trees: FileTrees
  readonly maps: ProllyMaps
  readonly turns: Turns
  readonly spools: FileSpools
}

/**
 * Opens the data directory and all that is in it.
 *
 * @throws {DomainError} with advice, when it cannot be had.
 */
export async function openStores(
  config: Pick<ServerConfig, 'root' | 'packs'> & DoorsConfig,
  given: ServerPorts,
): Promise<Stores> {
  const { clock, random, log, release } = given
  await using opened = new AsyncDisposableStack()
  // So that a port that is taken leaves nothing behind at a path that may be mistyped. A directory
  // that is ours already is opened first: to whoever has it, that is the better answer.
  if (!(await isDataDirectory(config.root))) await probeDoors(config)
  const directory = opened.use(await openDataDirectory(config.root, random))
  const { store, scratch: scratchDirectory } = directory
  const onDiskFull = diskFullReport(log, clock)
  const restored = await applyRestored(directory, log)
  if (restored !== undefined) log.info('restored', { snapshot: restored })
  const database = opened.use(
    await openSqlite({
      path: directory.metadata,
      migrations,
      clock,
      release,
      store,
      reserveBytes,
      onDiskFull,
      onUpgraded: upgradeReport(log),
      onDamagedLog: (copy) => log.warning(damagedLogText, { copy }),
    }),
  )
  await directory.settle()
  const ports = { ...given, clouds: given.clouds ?? noClouds }
  const packs = opened.use(await openPackPlaces(directory, config.packs ?? {}, ports))
  const { objects, near, url } = packs
  const chunks = opened.use(
    await openChunks({ objects: near, database, scratchDirectory, onDiskFull }, log),
  )
  await packs.start()
  // oxlint-disable-next-line no-restricted-globals -- a turn, not a time: no clock could say it.
  const turns = new Turns(clock, setImmediate)
  const kept = opened.move()
  return {
    directory,
    database,
    objects,
    ...(url !== undefined && { bucketUrl: url }),
    uploaded: () => packs.uploaded(),
    chunks,
    leases: chunks.leases,
    contents: new ChunkedContents(chunks),
    trees: new FileTrees(chunks, { turns }),
    maps: new ProllyMaps(chunks),
    turns,
    spools: new FileSpools(scratchDirectory, onDiskFull),
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  }
}

async function openChunks(options: ChunkStoreOptions, log: Log): Promise<PackStore> {
  const chunks = await openChunkStore({ ...options, onDataLoss: dataLossReport(log) })
  if (chunks.adoptedCount > 0) log.warning(adoptedText, { packs: chunks.adoptedCount })
  return chunks
}

/** Tells of an upgrade, and where what there was before is. */
function upgradeReport(log: Log): (upgrade: StoreUpgrade) => void {
  return ({ copy, layers }) => {
    const steps = layers.map(({ layer, from, to }) => `${layer} ${from} to ${to}`).join(', ')
    log.info(
      'brought the metadata of an older release up to date; to go back to it, stop the server, and pachctl migrate --root DIR --undo puts the copy in their place',
      { copy, steps },
    )
  }
}
