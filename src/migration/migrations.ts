import { DataLossError, FailedPreconditionError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import type { Database } from '../database/database.ts'
import type { OldCluster } from '../legacy/old-cluster.ts'
import { openOldCluster, type OpenPorts } from '../legacy/open-cluster.ts'
import type { OldPlace } from '../legacy/old-place.ts'
import type { OldAccess } from '../legacy/old-records.ts'
import { forgetImportedResults } from '../pipelines/datum-results.ts'
import { purgeDeletedJobs } from '../pipelines/deleted-jobs.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { Contents } from '../storage/contents.ts'
import { type FaultPoint, noFault } from '../storage/fault-point.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { Leases } from '../storage/leases.ts'
import type { ProllyMaps } from '../storage/prolly-map.ts'
import { forgetImported } from '../versioning/imports.ts'
import { planCommits, type CommitPlan } from './commit-plan.ts'
import { CommitImport } from './commit-import.ts'
import { DatumImport } from './datum-import.ts'
import { ContentImport } from './content-import.ts'
import {
  type MigrationCounts,
  type MigrationEvent,
  type MigrationRequest,
  noMigrationCounts,
} from './events.ts'
import { Findings } from './findings.ts'
import { ImportRecorder } from './import-recorder.ts'
import { planPipelines, type PipelinePlan, type SpecOf } from './pipeline-plan.ts'
import type { FindTrees } from './ready-commits.ts'
import { requireRest, restlessness } from './rest-check.ts'
import { Survey } from './survey.ts'
import { beginRun, currentRun, endRun } from './runs.ts'
import { requireRoom, switchOver } from './switch-over.ts'
import { TreeImport } from './tree-import.ts'

export interface MigrationPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly trees: FileTrees
  readonly maps: ProllyMaps
  readonly leases: Leases
  readonly clock: Clock
  readonly specOf: SpecOf
  readonly openBucket: OpenPorts['openBucket']
  readonly faultPoint?: FaultPoint
}

/** Progress is told at most so often. */
const progressEveryMs = 200

/**
 * Brings old clusters here, whole. Contents and trees come first, and are kept while a migration is
 * under way, so that it can be stopped at any point and run again; then, in one transaction, all that
 * names them. Until then nothing of it is seen. The old cluster is only read.
 */
export class ClusterMigrations {
  readonly #ports: MigrationPorts
  #isRunning = false

  constructor(ports: MigrationPorts) {
    this.#ports = ports
  }

  /**
   * Migrates, or with `isDryRun` looks. One at a time.
   *
   * @throws {DataLossError} at the end, when something is damaged that may not be left out: then
   *   nothing has changed.
   * @throws {FailedPreconditionError} when the cluster is not at rest, or something here is in the way.
   */
  async *run(request: MigrationRequest, signal: AbortSignal): AsyncGenerator<MigrationEvent> {
    if (this.#isRunning) {
      throw new FailedPreconditionError(
        'another migration is under way on this server: one runs at a time',
      )
    }
    this.#isRunning = true
    try {
      const findings = new Findings()
      const { clock, openBucket } = this.#ports
      const ports = { clock, openBucket, signal, onDamage: findings.onDamage }
      await using cluster = await openOldCluster(request.place, ports)
      yield* new Run(this.#ports, cluster, request, findings, signal).events()
    } finally {
      this.#isRunning = false
    }
  }

  /** Forgets what a migration has brought that was not completed. False when there is none. */
  async abandon(): Promise<boolean> {
    if (this.#isRunning) {
      throw new FailedPreconditionError('a migration is under way: stop it first')
    }
    return await this.#ports.database.transact(
      async (tx) => {
        const run = await currentRun(tx)
        if (run === undefined) return false
        await endRun(tx)
        await forgetImported(tx, run)
        await forgetImportedResults(tx)
        return true
      },
      { usesReserve: true },
    )
  }
}

/** What comes, if nothing of it is damaged. */
interface Plan extends CommitPlan, PipelinePlan {
  readonly access: readonly OldAccess[]
}

/** One migration. */
class Run {
  readonly #ports: MigrationPorts
  readonly #cluster: OldCluster
  readonly #request: MigrationRequest
  readonly #findings: Findings
  readonly #signal: AbortSignal
  readonly #counts: MigrationCounts = noMigrationCounts()
  readonly #startedMs: number
  #toldMs = 0

  constructor(
    ports: MigrationPorts,
    cluster: OldCluster,
    request: MigrationRequest,
    findings: Findings,
    signal: AbortSignal,
  ) {
    this.#ports = ports
    this.#cluster = cluster
    this.#request = request
    this.#findings = findings
    this.#signal = signal
    this.#startedMs = ports.clock.monotonicMs()
  }

  async *events(): AsyncGenerator<MigrationEvent> {
    const { reasons, ...plan } = await this.#plan()
    yield* this.#findings.take()
    if (this.#request.isDryRun) {
      for (const reason of reasons) yield { kind: 'notice', text: `needs --force: ${reason}` }
      yield* this.#survey(plan)
      return
    }
    if (!this.#request.isForced) requireRest(reasons)
    for (const reason of reasons) yield { kind: 'notice', text: reason }
    await this.#ports.database.read((tx) => requireRoom(tx, plan))
    yield* this.#import(plan)
  }

  /** Reads what the cluster says of itself, which goes when it is planned what becomes of it. */
  async #plan(): Promise<Plan & { readonly reasons: readonly string[] }> {
    const findings = this.#findings
    const catalog = await this.#cluster.catalog(findings.onDamage)
    const { clock, specOf } = this.#ports
    return {
      ...planCommits(catalog, this.#request.openCommits, findings),
      ...planPipelines(catalog, this.#request, { specOf, now: clock.now(), findings }),
      access: catalog.access,
      reasons: restlessness(catalog, this.#request.unfinishedJobs, clock),
    }
  }

  async *#survey(plan: Plan): AsyncGenerator<MigrationEvent> {
    const { clock } = this.#ports
    const survey = new Survey({
      cluster: this.#cluster,
      clock,
      counts: this.#counts,
      findings: this.#findings,
      signal: this.#signal,
    })
    let done = 0
    for await (const _ of survey.run(plan)) {
      done += 1
      yield* this.#tell('looking at commits', done, plan.commits.length)
    }
    yield* this.#findings.take()
    this.#count(plan)
    yield this.#end(survey.estimatedMs)
  }

  async *#import(plan: Plan): AsyncGenerator<MigrationEvent> {
    const { clock, database, faultPoint = noFault } = this.#ports
    const now = clock.now()
    // Keeps what no row names yet, such as trees from which damaged files were left out.
    using _ = this.#ports.leases.begin()
    const run = await database.transact((tx) => beginRun(tx, this.#cluster.name, now))
    faultPoint('migration: begun')
    const shared = {
      ...this.#ports,
      recorder: new ImportRecorder(this.#ports, run),
      objects: this.#cluster.objects,
      findings: this.#findings,
      counts: this.#counts,
      signal: this.#signal,
    }
    const withContent = { ...shared, content: new ContentImport(shared) }
    const treeImport = new TreeImport(withContent)
    const parts = { ...withContent, cluster: this.#cluster, treeImport, now }
    const importing = new CommitImport(parts, plan, this.#request.openCommits)
    let done = 0
    for await (const isThere of importing.run()) {
      done += 1
      faultPoint('migration: commit brought')
      if (!isThere) yield* this.#findings.take()
      yield* this.#tell('bringing commits', done, plan.commits.length)
    }
    yield* this.#findings.take()
    await shared.recorder.settle()
    const { ready: commits } = importing
    const datums = new DatumImport(parts, commits)
    for await (const jobs of datums.run(plan)) {
      faultPoint('migration: job brought')
      yield* this.#tell('bringing results of datums', jobs, plan.jobs.length)
    }
    yield* this.#findings.take()
    await shared.recorder.settle()
    this.#requireWhole()
    if (await this.#cluster.hasChanged()) {
      throw new FailedPreconditionError(
        'the old cluster was written to while it was read: stop what writes to it, and migrate again; what has come is kept for that, and nothing is seen of it yet',
      )
    }
    const branches = commits.branches()
    const cargo = { ...plan, run, commits, branches, datums: datums.found }
    yield* this.#tell('switching over', 0, 0, true)
    await this.#ports.chunks.flush()
    faultPoint('migration: all brought')
    // A pipeline that comes again has the id that it had.
    await purgeDeletedJobs(database)
    this.#counts.results = await database.transact(async (tx) => {
      const results = await switchOver(tx, cargo, now)
      faultPoint('migration: rows written')
      return results
    })
    faultPoint('migration: switched over')
    this.#count({ ...plan, branches })
    const find: FindTrees = (hashes) => shared.recorder.recordedTrees(hashes)
    for await (const { repo, id, tree, oldTree } of commits.withTrees(find)) {
      const { root, sizeBytes, fileCount } = tree
      yield { kind: 'commit', commit: { repo, id, root, oldTree, sizeBytes, fileCount } }
    }
    yield this.#end(0)
  }

  #requireWhole(): void {
    const count = this.#findings.damageCount
    if (count === 0 || this.#request.skipsDamaged) return
    throw new DataLossError(
      `${count === 1 ? 'one thing' : `${count} things`} of the old cluster cannot be brought over, as listed: nothing has changed here. Repair the old cluster, or leave out what is damaged with --skip-damaged; what has come already is kept for the next time`,
    )
  }

  #count({ repos, branches, pipelines, jobs, access }: Omit<Plan, 'commits'>): void {
    this.#counts.repos = repos.length
    this.#counts.branches = branches.length
    this.#counts.pipelines = pipelines.length
    this.#counts.jobs = jobs.length
    this.#counts.access = access.length
    this.#counts.damaged = this.#findings.damageCount
  }

  *#tell(stage: string, done: number, total: number, now = false): Generator<MigrationEvent> {
    yield* this.#findings.take()
    const nowMs = this.#ports.clock.monotonicMs()
    if (!now && nowMs - this.#toldMs < progressEveryMs) return
    this.#toldMs = nowMs
    yield { kind: 'progress', stage, done, total, counts: { ...this.#counts } }
  }

  #end(estimatedMs: number): MigrationEvent {
    return {
      kind: 'end',
      source: this.#cluster.name,
      isDryRun: this.#request.isDryRun,
      counts: { ...this.#counts },
      tookMs: this.#ports.clock.monotonicMs() - this.#startedMs,
      estimatedMs,
    }
  }
}

export type { OldPlace }
