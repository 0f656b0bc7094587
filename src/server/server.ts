import { adminRoutes } from '../api/admin-service.ts'
import { authRoutes } from '../api/auth-service.ts'
import { commitsRoutes } from '../api/commits-service.ts'
import { filesRoutes } from '../api/files-service.ts'
import { healthRoutes } from '../api/health-service.ts'
import { jobsRoutes } from '../api/jobs-service.ts'
import { addressText, type PortAddress } from '../api/open-port.ts'
import { objectRoutes } from '../api/object-service.ts'
import { pfsRoutes } from '../api/pfs-service.ts'
import { ppsRoutes } from '../api/pps-service.ts'
import { withTransactions } from '../api/transactions-service.ts'
import { versionRoutes } from '../api/version-service.ts'
import type { Database } from '../database/database.ts'
import { openSqlite } from '../database/sqlite.ts'
import { JobCommitUses } from '../pipelines/commit-uses.ts'
import { JobDownstream } from '../pipelines/downstream.ts'
import { Triggers } from '../pipelines/triggers.ts'
import { type ChunkStoreOptions, openChunkStore, type PackStore } from '../storage/chunk-store.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import { Objects } from '../versioning/objects.ts'
import { StoredTrees } from '../versioning/stored-trees.ts'
import { sweepTransactions } from '../versioning/transactions.ts'
import { createVersioning } from '../versioning/versioning.ts'
import { sweepStagedWrites } from '../versioning/writes.ts'
import { startBackgroundTask } from './background-task.ts'
import { openCollector, startCollecting } from './collecting.ts'
import type { ServerConfig } from './command-line.ts'
import { isDataDirectory, openDataDirectory } from './data-directory.ts'
import { Doors, probeDoors } from './doors.ts'
import { dataLossReport } from './data-loss-report.ts'
import type { Log } from './log.ts'
import { migrations } from './migrations.ts'
import type { ServerPorts } from './ports.ts'
import { openProcessing } from './processing.ts'
import { StoreChecks } from './store-checks.ts'

/** After a crash a few packs may not be listed yet; many may mean that the metadata are too old. */
const adoptedText =
  'packs were found that were not listed, and are now: after a crash that is normal; else look whether the last commits are there'

/** Enough for thousands of small changes of the metadata. */
const reserveBytes = 1024 * 1024

/** A running pachd: its data directory, and open ports. */
export class Server implements AsyncDisposable {
  readonly #doors: Doors
  readonly #opened: AsyncDisposableStack

  constructor(doors: Doors, opened: AsyncDisposableStack) {
    this.#doors = doors
    this.#opened = opened
  }

  get address(): PortAddress {
    return this.#doors.address
  }

  /** Where files are served by HTTP and nothing else is. */
  get httpAddress(): PortAddress | undefined {
    return this.#doors.httpAddress
  }

  /** Takes no more calls, gives running ones at most `graceMs`, and lets go of everything. */
  async close(graceMs: number): Promise<void> {
    await this.#doors.close(graceMs)
    await this.#opened.disposeAsync()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0)
  }
}

/**
 * Opens everything or nothing. When it resolves, the server answers.
 *
 * @throws {DomainError} with advice, when the data directory or the port cannot be had.
 */
export async function openServer(config: ServerConfig, ports: ServerPorts): Promise<Server> {
  const { clock, random, log, release } = ports
  const startedMs = clock.monotonicMs()
  await using opened = new AsyncDisposableStack()
  // So that a port that is taken leaves nothing behind at a path that may be mistyped. A directory
  // that is ours already is opened first: to whoever has it, that is the better answer.
  if (!(await isDataDirectory(config.root))) await probeDoors(config)
  const directory = opened.use(await openDataDirectory(config.root, random))
  const { store } = directory
  const database = opened.use(
    await openSqlite({ path: directory.metadata, migrations, clock, release, store, reserveBytes }),
  )
  await directory.settle()
  const packs = opened.use(await LocalObjectStore.open(directory.objects))
  const scratchDirectory = directory.scratch
  const chunks = opened.use(await openChunks({ objects: packs, database, scratchDirectory }, log))
  const contents = new ChunkedContents(chunks)
  const trees = new FileTrees(chunks)
  const { leases } = chunks
  const stores = { database, chunks, contents, trees, leases }
  const triggers = new Triggers({ clock, random })
  const versioning = createVersioning({
    ...stores,
    clock,
    random,
    onHeadReady: (tx, heads) => triggers.onHeadReady(tx, heads),
    downstream: new JobDownstream(),
    uses: new JobCommitUses({ database, maps: new ProllyMaps(chunks) }),
  })
  const processing = opened.use(
    await openProcessing({ directory, triggers, ...stores, ...config, ...ports }),
  )
  startSweeps(opened, { database, clock, log })
  const collector = openCollector({ database, store: chunks, versioning, clock })
  opened.use(startCollecting({ ...ports, ...config, database, collector }))
  const objects = new Objects({ ...stores, clock })
  const facts = { release, executor: processing.executor, notices: processing.notices }
  const { metadata } = directory
  const checks = new StoreChecks({ database, metadata, objects: packs, chunks, clock })
  const recordable = [
    ...pfsRoutes(versioning, new StoredTrees({ ...stores, objects })),
    ...objectRoutes(objects, collector),
    ...filesRoutes(versioning),
    ...commitsRoutes(versioning),
    ...ppsRoutes(processing, collector),
    ...jobsRoutes(processing),
    ...adminRoutes({
      facts: () => ({ ...facts, uptimeMs: clock.monotonicMs() - startedMs }),
      check: (options, signal) => checks.run(options, signal),
      collector,
    }),
    ...authRoutes(),
    ...healthRoutes(),
    ...versionRoutes(release),
  ]
  const routes = withTransactions(recordable, versioning)
  const doors = opened.use(await Doors.open(config, { routes, versioning }, ports))
  processing.scheduler.start()
  const { address, httpAddress } = doors
  const http = httpAddress === undefined ? 'off' : addressText(httpAddress)
  log.info('listening', { ...address, http, root: config.root, release })
  return new Server(doors, opened.move())
}

async function openChunks(options: ChunkStoreOptions, log: Log): Promise<PackStore> {
  const chunks = await openChunkStore({ ...options, onDataLoss: dataLossReport(log) })
  if (chunks.adoptedCount > 0) log.warning(adoptedText, { packs: chunks.adoptedCount })
  return chunks
}

/** What is done by itself, now and then, to rows that nobody needs any more. */
function startSweeps(
  opened: AsyncDisposableStack,
  { database, clock, log }: { readonly database: Database } & Pick<ServerPorts, 'clock' | 'log'>,
): void {
  opened.use(
    startBackgroundTask('sweeping old staged writes', log, (signal) =>
      sweepStagedWrites(database, signal),
    ),
  )
  opened.use(
    startBackgroundTask('forgetting old transactions', log, (signal) =>
      sweepTransactions({ clock, database }, signal),
    ),
  )
}
