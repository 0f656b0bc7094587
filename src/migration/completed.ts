import { createHash } from 'node:crypto'
import type { Instant } from '../base/clock.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { findFinishedTrees } from '../versioning/imports.ts'
import type { Finding, MigratedCommit, MigrationCounts } from './events.ts'
import type { CommitPlan, PlannedCommit } from './plan/commit-plan.ts'
import type { PipelinePlan } from './plan/job-plan.ts'

/** What was told of a migration, but for what the rows of commits say. */
export interface CompletedMigration {
  readonly completedAt: Instant
  readonly counts: Readonly<MigrationCounts>
  readonly findings: readonly Finding[]
  /** Commits that stayed open. */
  readonly open: readonly MigratedCommit[]
}

/** Names a cluster as it was read: another for one to which something was written. */
export function clusterOf({
  repos,
  commits,
  branches,
  pipelines,
  jobs,
}: CommitPlan & PipelinePlan): string {
  const sum = createHash('sha256')
  const add = (...facts: readonly (string | number)[]): unknown =>
    sum.update(`${JSON.stringify(facts)}\n`)
  for (const { name, createdAt } of repos) add('repo', name, createdAt)
  for (const { id } of commits) add('commit', id)
  for (const { repo, name, head } of branches) add('branch', repo, name, head)
  for (const { record } of pipelines) add('pipeline', record.name, record.version)
  for (const { id } of jobs) add('job', id)
  return sum.digest('hex')
}

interface CompletedRow {
  readonly [column: string]: string | number
  readonly completed_at: number
  readonly report: string
}

export async function findCompleted(
  tx: ReadTransaction,
  cluster: string,
): Promise<CompletedMigration | undefined> {
  const row = await tx.get<CompletedRow>(
    'SELECT completed_at, report FROM completed_migrations WHERE cluster = ?',
    cluster,
  )
  if (row === undefined) return undefined
  const report = JSON.parse(row.report) as Omit<CompletedMigration, 'completedAt'>
  return { ...report, completedAt: row.completed_at }
}

/** A cluster may be migrated again once nothing of it is here any more: the last time counts. */
export async function recordCompleted(
  tx: Transaction,
  cluster: string,
  { completedAt, ...report }: CompletedMigration,
): Promise<void> {
  await tx.run(
    `INSERT INTO completed_migrations (cluster, completed_at, report) VALUES (?, ?, ?)
      ON CONFLICT (cluster) DO UPDATE SET completed_at = excluded.completed_at,
        report = excluded.report`,
    cluster,
    completedAt,
    JSON.stringify(report),
  )
}

const pageCommits = 400

/** What came of `planned`, as far as it is here still. */
export async function* commitsHere(
  database: Database,
  planned: readonly PlannedCommit[],
  { open }: Pick<CompletedMigration, 'open'>,
): AsyncGenerator<MigratedCommit> {
  const byId = new Map(open.map((commit) => [commit.id, commit]))
  for (let at = 0; at < planned.length; at += pageCommits) {
    const page = planned.slice(at, at + pageCommits)
    const ids = page.map(({ id }) => id)
    const trees = await database.read((tx) => findFinishedTrees(tx, ids))
    for (const { repo, id, tree: oldTree = '' } of page) {
      const held = byId.get(id)
      const tree = trees.get(id)
      if (held !== undefined) yield held
      else if (tree !== undefined) yield { repo, id, oldTree, ...tree }
    }
  }
}
