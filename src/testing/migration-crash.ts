import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { Buckets } from '../clouds/open-buckets.ts'
import { specOfOldPipeline } from '../api/migration-service.ts'
import type { MigrationEvent, MigrationRequest } from '../migration/events.ts'
import { ClusterMigrations } from '../migration/migrations.ts'
import type { FaultPoint } from '../storage/fault-point.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import { Log } from '../server/log.ts'
import { noClouds } from '../server/ports.ts'
import { openRehearsalStores } from '../server/rehearsal-stores.ts'
import { openStores, type Stores } from '../server/stores.ts'

/** The stores of a server at `root`, without its doors. */
export async function openCrashStores(root: string): Promise<Stores> {
  const clock = new SystemClock()
  const log = new Log(clock, () => undefined)
  const ports = { clock, random: new SystemRandom(), log, release: 'test' }
  return await openStores({ root, host: '127.0.0.1', port: 0 }, ports)
}

/** Brings a whole cluster to `root`, also what runs, and but for what is damaged. */
export async function migrateTo(
  root: string,
  {
    openCommits,
    ...place
  }: {
    readonly etcd: string
    readonly storage: string
    readonly openCommits: MigrationRequest['openCommits']
  },
  faultPoint: FaultPoint,
): Promise<readonly MigrationEvent[]> {
  await using stores = await openCrashStores(root)
  using buckets = new Buckets(noClouds)
  const migrations = new ClusterMigrations({
    ...stores,
    clock: new SystemClock(),
    maps: new ProllyMaps(stores.chunks),
    specOf: specOfOldPipeline,
    openBucket: buckets.open.bind(buckets),
    openRehearsal: openRehearsalStores.bind(undefined, stores.directory, new SystemClock()),
    faultPoint,
  })
  const request: MigrationRequest = {
    place: { kind: 'stores', ...place },
    from: '',
    isDryRun: false,
    isForced: true,
    skipsDamaged: true,
    openCommits,
    unfinishedJobs: 'restart',
    keepsPaused: true,
  }
  return await Array.fromAsync(migrations.run(request, new AbortController().signal))
}
