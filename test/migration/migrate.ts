import type {
  MigratedCommit,
  MigrateResponse,
  MigrationDamage,
  MigrationSummary,
} from '../../src/gen/pachyderm_pb.ts'
import type { UnpackedCluster } from '../harness/old-clusters.ts'
import type { TestPachd } from '../harness/test-pachd.ts'

export interface Migrated {
  readonly damage: readonly MigrationDamage[]
  readonly notices: readonly string[]
  /** What the report says of each. */
  readonly commits: readonly MigratedCommit[]
  readonly summary: MigrationSummary | undefined
}

/** Migrates a cluster into a server, and collects what is said of it. */
export async function migrate(
  pachd: Pick<TestPachd, 'migrations'>,
  { etcd, storage }: Pick<UnpackedCluster, 'etcd' | 'storage'>,
  request: Parameters<TestPachd['migrations']['migrate']>[0],
  onEvent: (event: MigrateResponse) => void = () => {},
): Promise<Migrated> {
  const damage: MigrationDamage[] = []
  const notices: string[] = []
  const commits: MigratedCommit[] = []
  let summary: MigrationSummary | undefined
  for await (const response of pachd.migrations.migrate({ etcd, storage, ...request })) {
    onEvent(response)
    const { event } = response
    if (event.case === 'damage') damage.push(event.value)
    if (event.case === 'notice') notices.push(event.value)
    if (event.case === 'commits') commits.push(...event.value.commits)
    if (event.case === 'summary') summary = event.value
  }
  return { damage, notices, commits, summary }
}
