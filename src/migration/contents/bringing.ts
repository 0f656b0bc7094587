import type { Clock, Instant } from '../../base/clock.ts'
import type { OldCluster } from '../../legacy/old-cluster.ts'
import type { Contents } from '../../storage/contents.ts'
import type { FaultPoint } from '../../storage/fault-point.ts'
import { CommitImport } from './commit-import.ts'
import type { CommitPlan } from '../plan/commit-plan.ts'
import { ContentImport, type Intake } from './content-import.ts'
import { DatumImport } from './datum-import.ts'
import type { MigrationCounts, MigrationRequest } from '../events.ts'
import type { Findings } from '../findings.ts'
import { ImportRecorder } from './import-recorder.ts'
import type { PipelinePlan } from '../plan/job-plan.ts'
import type { FindTrees } from './ready-commits.ts'
import { readyJobs } from './ready-jobs.ts'
import type { MigrationStores } from '../ports.ts'
import { beginRun, recordedContents } from '../runs.ts'
import type { Cargo } from '../switch-over.ts'
import { TreeImport } from './tree-import.ts'

export interface BringingPorts extends MigrationStores {
  readonly cluster: OldCluster
  readonly clock: Clock
  readonly now: Instant
  readonly intake: Intake
  /** As in `DatumImportPorts`. */
  readonly contents: Contents | undefined
  readonly findings: Findings
  readonly counts: MigrationCounts
  readonly signal: AbortSignal
  readonly faultPoint: FaultPoint
}

/** How far it is. */
export interface BringingStep {
  readonly stage: string
  readonly done: number
  readonly total: number
}

/** What has come, and is not seen yet. */
export interface Brought extends Pick<Cargo, 'run' | 'commits' | 'branches' | 'jobs' | 'datums'> {
  readonly findTrees: FindTrees
}

/** Brings all that commits and jobs refer to. Whoever calls holds a lease until it has rows. */
export async function* bring(
  plan: CommitPlan & PipelinePlan,
  openCommits: MigrationRequest['openCommits'],
  ports: BringingPorts,
): AsyncGenerator<BringingStep, Brought> {
  const { cluster, database, faultPoint, now } = ports
  const run = await database.transact((tx) => beginRun(tx, cluster.name, now))
  Object.assign(ports.counts, await database.read((tx) => recordedContents(tx)))
  faultPoint('migration: begun')
  const recorder = new ImportRecorder(ports, run)
  const shared = { ...ports, recorder, objects: cluster.objects }
  const withContent = { ...shared, content: new ContentImport(shared) }
  const parts = { ...withContent, treeImport: new TreeImport(withContent) }
  const importing = new CommitImport(parts, plan, openCommits)
  let come = 0
  for await (const _ of importing.run()) {
    come += 1
    faultPoint('migration: commit brought')
    yield { stage: 'commits', done: come, total: plan.commits.length }
  }
  await recorder.settle()
  const { ready: commits } = importing
  const datums = new DatumImport(parts, commits)
  for await (const done of datums.run(plan)) {
    faultPoint('migration: job brought')
    yield { stage: 'results of datums', done, total: plan.jobs.length }
  }
  await recorder.settle()
  const branches = commits.branches(ports.findings)
  const jobs = readyJobs(plan, commits, ports.findings)
  const findTrees: FindTrees = (hashes) => recorder.recordedTrees(hashes)
  return { run, commits, branches, jobs, datums: datums.found, findTrees }
}
