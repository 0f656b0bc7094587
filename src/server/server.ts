import { adminRoutes } from '../api/admin-service.ts'
import { authRoutes } from '../api/auth-service.ts'
import { commitsRoutes } from '../api/commits-service.ts'
import { filesRoutes } from '../api/files-service.ts'
import { healthRoutes } from '../api/health-service.ts'
import { jobsRoutes } from '../api/jobs-service.ts'
import {
  backupsRoutesLate,
  migrationRoutesLate,
  transfersRoutesLate,
} from '../api/late-services.ts'
import { addressText, type PortAddress } from '../api/open-port.ts'
import { objectRoutes } from '../api/object-service.ts'
import { pfsRoutes } from '../api/pfs-service.ts'
import { pipelinesRoutes } from '../api/pipelines-service.ts'
import { reposRoutes } from '../api/repos-service.ts'
import { ppsRoutes } from '../api/pps-service.ts'
import { secretsRoutes } from '../api/secrets-service.ts'
import { withTransactions } from '../api/transactions-service.ts'
import { trialsRoutes } from '../api/trials-service.ts'
import { versionRoutes } from '../api/version-service.ts'
import type { Database } from '../database/database.ts'
import { JobCommitUses } from '../pipelines/commit-uses.ts'
import { JobDownstream } from '../pipelines/downstream.ts'
import { purgeDeletedJobs } from '../pipelines/deleted-jobs.ts'
import { killNotedJobs } from '../pipelines/killed-jobs.ts'
import { Triggers } from '../pipelines/triggers.ts'
import type { OwnCredentials } from '../clouds/own-credentials.ts'
import type { OpenBuckets } from '../targets/export-run.ts'
import { Exports } from '../targets/exports.ts'
import type { OnHeadReady } from '../versioning/ports.ts'
import { sweepKeptTransfers } from '../versioning/kept-transfers.ts'
import { Objects } from '../versioning/objects.ts'
import { StoredTrees } from '../versioning/stored-trees.ts'
import { purgeRepos } from '../versioning/repos.ts'
import { sweepTransactions } from '../versioning/transactions.ts'
import { sweepUploads } from '../versioning/uploads.ts'
import { createVersioning, type Versioning } from '../versioning/versioning.ts'
import { sweepStagedWrites } from '../versioning/writes.ts'
import { onDemand } from '../base/on-demand.ts'
import { patientRetries } from '../base/retries.ts'
import { startBackgroundTask } from './background-task.ts'
import { openBackups } from './backing-up/late-backups.ts'
import { MetadataCopying } from './backing-up/metadata-copying.ts'
import { openCollector, startCollecting } from './collecting.ts'
import type { ServerConfig } from './server-config.ts'
import { Doors } from './doors.ts'
import { createFetching } from './fetching.ts'
import { hiddenPaths } from './hidden-paths.ts'
import { noClouds, type ServerPorts } from './ports.ts'
import { openProcessing, type OpenProcessing } from './processing.ts'
import type { StoreChecks } from './store-checks.ts'
import { forgetRehearsal, openRehearsalStores } from './rehearsal-stores.ts'
import { StoreWaits } from './store-waits.ts'
import { openStores, type Stores } from './stores.ts'

/** A running pachd: its data directory, and open ports. */
export class Server implements AsyncDisposable {
  readonly #doors: Doors
  readonly #copying: MetadataCopying | undefined
  readonly #opened: AsyncDisposableStack

  constructor(doors: Doors, copying: MetadataCopying | undefined, opened: AsyncDisposableStack) {
    this.#doors = doors
    this.#copying = copying
    this.#opened = opened
  }

  get address(): PortAddress {
    return this.#doors.address
  }

  /** Where files are served by HTTP and nothing else is. */
  get httpAddress(): PortAddress | undefined {
    return this.#doors.httpAddress
  }

  /** Where S3 is served. */
  get s3Address(): PortAddress | undefined {
    return this.#doors.s3Address
  }

  /**
   * Takes no more calls, gives running ones at most `graceMs`, and lets go of everything; with `lastCopyMs`, copies
   * of the metadata what has changed, which may take so long.
   */
  async close(
    graceMs: number,
    { lastCopyMs = 0 }: { readonly lastCopyMs?: number } = {},
  ): Promise<void> {
    await this.#doors.close(graceMs)
    this.#copying?.copyAtEnd(lastCopyMs)
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
export async function openServer(config: ServerConfig, given: ServerPorts): Promise<Server> {
  const storeWaits = new StoreWaits(given)
  const ports = { ...given, clouds: { ...(given.clouds ?? noClouds), waits: storeWaits } }
  const { clock, random, log, release } = ports
  const { root } = config
  const startedMs = clock.monotonicMs()
  await using opened = new AsyncDisposableStack()
  await requireSettings(config, ports)
  const stores = opened.use(await openStores(config, ports))
  await forgetRehearsal(stores.directory)
  // Before all that changes something, and so ended after it.
  const copying = opened.use(await MetadataCopying.start(stores, config, ports))
  const { directory, database, chunks } = stores
  const triggers = new Triggers({ clock, random })
  const uses = new JobCommitUses(stores)
  const onHeadReady: OnHeadReady = (tx, heads) => triggers.onHeadReady(tx, heads)
  const downstream = new JobDownstream()
  const versioning = createVersioning({ ...stores, clock, random, onHeadReady, downstream, uses })
  const api: OpenDoors = {}
  const exports = createExports(versioning, config, ports)
  const hidden = hiddenPaths(config, ports.clouds ?? noClouds)
  const parts = { ...placesOf(api), triggers, versioning, exports, hiddenPaths: hidden, ...stores }
  const processing = opened.use(await openProcessing({ ...parts, ...config, ...ports }))
  startSweeps(opened, { database, clock, log })
  const collector = openCollector({ database, store: chunks, versioning, clock })
  opened.use(startCollecting({ ...ports, ...config, database, collector }))
  const objects = new Objects({ ...stores, clock })
  const checks = onDemand(async () => {
    const { StoreChecks } = await import('./store-checks.ts')
    return new StoreChecks({ ...stores, metadata: directory.metadata, clock })
  })
  const fetching = createFetching(stores, { versioning, onHeadReady, uses }, config, ports)
  const backups = await openBackups(opened, { stores, pulls: fetching.pulls }, config, ports)
  const recordable = [
    ...pfsRoutes(versioning, new StoredTrees({ ...stores, objects }), fetching.puts),
    ...objectRoutes(objects, collector),
    ...filesRoutes(versioning, stores, {
      ...fetching,
      exports,
      clock,
      secrets: processing.secrets,
    }),
    ...reposRoutes(versioning),
    ...commitsRoutes(versioning, processing.branchTriggers),
    ...ppsRoutes(processing, collector),
    ...jobsRoutes(processing),
    ...pipelinesRoutes(processing),
    ...createAdmin({ startedMs, checks, collector, processing, api, storeWaits, root }, ports),
    ...secretsRoutes(processing),
    ...trialsRoutes(processing),
    ...migrationRoutesLate(lateMigrations(opened, stores, ports), {
      configured: config.oldCluster,
      allowsAnyPlace: (config.sources ?? 'any') === 'any',
    }),
    ...backupsRoutesLate(backups, random),
    ...transfersRoutesLate(fetching.pulls, { random, isAllowed: config.sources !== 'none' }),
    ...authRoutes(),
    ...healthRoutes(),
    ...versionRoutes(release),
  ]
  const routes = withTransactions(recordable, versioning)
  await giveUpHeld(versioning, log)
  const doors = opened.use(await Doors.open(config, { routes, versioning }, ports))
  api.address = addressOnHost(doors.address)
  api.doors = doors
  processing.start()
  const packs = stores.bucketUrl ?? directory.objects
  log.info('listening', { ...addressesOf(doors), root, packs, release })
  return new Server(doors, copying, opened.move())
}

/** What is wrong with what is done only now and then, before it is time for it. */
async function requireSettings(config: ServerConfig, ports: ServerPorts): Promise<void> {
  const { backup, ...rest } = config
  if (backup === undefined) return
  const { requireBackupSettings } = await import('./backing-up/backup-settings.ts')
  const { clouds = noClouds, random } = ports
  await requireBackupSettings({ ...rest, backup }, { clouds, random })
}

/** Before anybody calls: to whom they are in the way. */
async function giveUpHeld({ commits }: Versioning, log: ServerPorts['log']): Promise<void> {
  await commits.giveUpHeld(({ repo, id }, error) => {
    const text = error instanceof Error ? error.message : String(error)
    log.warning('a commit that its opener had left stays open', { repo, commit: id, error: text })
  })
}

/** What brings old clusters here, loaded when one is to come. */
function lateMigrations(
  opened: AsyncDisposableStack,
  stores: Stores,
  ports: ServerPorts,
): Parameters<typeof migrationRoutesLate>[0] {
  const held = opened.use(new DisposableStack())
  return async (specOf) => {
    const { Buckets } = await import('../clouds/open-buckets.ts')
    const { ClusterMigrations } = await import('../migration/migrations.ts')
    const buckets = held.use(new Buckets(ports.clouds ?? noClouds))
    const openBucket = buckets.open.bind(buckets)
    const openRehearsal = openRehearsalStores.bind(undefined, stores.directory, ports.clock)
    return new ClusterMigrations({ ...stores, ...ports, specOf, openBucket, openRehearsal })
  }
}

/** For the log. */
function addressesOf({
  address,
  httpAddress,
  s3Address,
}: Doors): Readonly<Record<string, unknown>> {
  return { ...address, http: doorText(httpAddress), s3: doorText(s3Address) }
}

/** Known once they are open. */
interface OpenDoors {
  address?: string
  doors?: Doors
}

/** Where it is reached; known once it is. */
function placesOf(api: OpenDoors): {
  readonly apiAddress: () => string | undefined
  readonly ownPorts: () => ReadonlySet<number>
} {
  return {
    apiAddress: () => api.address,
    ownPorts: () => api.doors?.ports ?? new Set(),
  }
}

/** What whoever runs the server may ask for. */
function createAdmin(
  parts: {
    readonly startedMs: number
    readonly checks: () => Promise<StoreChecks>
    readonly collector: ReturnType<typeof openCollector>
    readonly processing: OpenProcessing
    readonly api: OpenDoors
    readonly storeWaits: StoreWaits
    readonly root: string
  },
  { clock, release }: Pick<ServerPorts, 'clock' | 'release'>,
): ReturnType<typeof adminRoutes> {
  const { startedMs, checks, collector, processing, api, storeWaits, root } = parts
  return adminRoutes({
    facts: async () => ({
      release,
      ...(await processing.facts()),
      uptimeMs: clock.monotonicMs() - startedMs,
    }),
    async *check(options, signal) {
      yield* (await checks()).run(options, signal)
    },
    collector,
    clock,
    storeWaits: (bucket) => storeWaits.of(bucket),
    diagnose: async () => {
      const { address, httpAddress, s3Address } = api.doors ?? {}
      const doors = {
        all: doorText(address),
        http: doorText(httpAddress),
        s3: doorText(s3Address),
      }
      const { diagnose } = await import('./diagnosis.ts')
      return await diagnose({ release, root, doors, ...(await processing.diagnosis()) })
    },
  })
}

/** What brings files elsewhere. */
function createExports(
  versioning: Versioning,
  { sources = 'any' }: Pick<ServerConfig, 'sources'>,
  { clouds = noClouds, clock, random }: Pick<ServerPorts, 'clouds' | 'clock' | 'random'>,
): Exports {
  const openBuckets = async (own?: OwnCredentials): Promise<OpenBuckets> => {
    const { Buckets } = await import('../clouds/open-buckets.ts')
    const { withOwnCredentials } = await import('../clouds/own-credentials.ts')
    return new Buckets(own === undefined ? clouds : withOwnCredentials(clouds, own))
  }
  const requests = { clock, random, retries: patientRetries }
  return new Exports({ ...versioning, ...requests, openBuckets, reach: sources })
}

function doorText(address: PortAddress | undefined): string {
  return address === undefined ? 'off' : addressText(address)
}

/** Where programs on this machine find a server that listens there. */
function addressOnHost({ host, port }: { readonly host: string; readonly port: number }): string {
  if (host === '0.0.0.0') return `127.0.0.1:${port}`
  if (host === '::' || host === '') return `[::1]:${port}`
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
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
    startBackgroundTask('deleting what is left of repos', log, (signal) =>
      purgeRepos(database, signal),
    ),
  )
  // What an earlier process left, here and below: calls do it by themselves.
  opened.use(
    startBackgroundTask('killing jobs that wait for a pipeline of before', log, (signal) =>
      killNotedJobs(database, signal),
    ),
  )
  opened.use(
    startBackgroundTask('deleting what is left of jobs', log, (signal) =>
      purgeDeletedJobs(database, signal),
    ),
  )
  opened.use(
    startBackgroundTask('forgetting old transactions', log, (signal) =>
      sweepTransactions({ clock, database }, signal),
    ),
  )
  opened.use(
    startBackgroundTask('forgetting old uploads', log, (signal) =>
      sweepUploads({ clock, database }, signal),
    ),
  )
  opened.use(
    startBackgroundTask('forgetting old transfers', log, (signal) =>
      sweepKeptTransfers({ clock, database }, signal),
    ),
  )
}
