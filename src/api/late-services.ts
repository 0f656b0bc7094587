import type { StoreBackups } from '../backups/store-backups.ts'
import type { Random } from '../base/random.ts'
import { Backups, Migrations, Transfers } from '../gen/pachyderm_pb.ts'
import type { ClusterMigrations } from '../migration/migrations.ts'
import type { Pulls } from '../sources/pulls.ts'
import { lateService } from './grpc/late-service.ts'
import type { Route } from './grpc/service.ts'
import type { MigrationServicePorts, specOfOldPipeline } from './migration-service.ts'
import type { RepoRestores } from './repo-restores.ts'
import type { transfersRoutes } from './transfers-service.ts'

// Services that most servers are never asked for: each is loaded by the first call to it, and then it asks for
// what it calls.

/** pachyderm.Backups. */
export function backupsRoutesLate(
  load: () => Promise<{ readonly backups: StoreBackups; readonly repoRestores: RepoRestores }>,
  random: Random,
): readonly Route[] {
  return lateService(Backups, async () => {
    const { backupsRoutes } = await import('./backups-service.ts')
    const { backups, repoRestores } = await load()
    return backupsRoutes(backups, { repoRestores, random })
  })
}

/** pachyderm.Migrations. `migrations` is told how a client's request for a pipeline is read. */
export function migrationRoutesLate(
  migrations: (specOf: typeof specOfOldPipeline) => Promise<ClusterMigrations>,
  ports: Omit<MigrationServicePorts, 'migrations'>,
): readonly Route[] {
  return lateService(Migrations, async () => {
    const { migrationRoutes, specOfOldPipeline: specOf } = await import('./migration-service.ts')
    return migrationRoutes({ ...ports, migrations: await migrations(specOf) })
  })
}

/** pachyderm.Transfers. */
export function transfersRoutesLate(
  pulls: () => Promise<Pulls>,
  ports: Parameters<typeof transfersRoutes>[1],
): readonly Route[] {
  return lateService(Transfers, async () => {
    const { transfersRoutes: routes } = await import('./transfers-service.ts')
    return routes(await pulls(), ports)
  })
}
