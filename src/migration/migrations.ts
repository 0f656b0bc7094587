import { DataLossError, FailedPreconditionError } from '../base/errors.ts'
import type { OldCluster } from '../legacy/old-cluster.ts'
import { openOldCluster } from '../legacy/open-cluster.ts'
import type { OldPlace } from '../legacy/old-place.ts'
import type { OldAccess } from '../legacy/old-records.ts'
import { forgetImportedResults } from '../pipelines/datum-results.ts'
import { purgeDeletedJobs } from '../pipelines/deleted-jobs.ts'
import { noFault } from '../storage/fault-point.ts'
import { forgetImported } from '../versioning/imports.ts'
import { planCommits, type CommitPlan } from './plan/commit-plan.ts'
import { bring, type BringingPorts, type Brought } from './contents/bringing.ts'
import { StoringIntake } from './contents/content-import.ts'
import type { FindTrees, HeldCommit, ReadyCommit, ReadyCommits } from './contents/ready-commits.ts'
import {
  clusterOf,
  commitsHere,
  type CompletedMigration,
  findCompleted,
  recordCompleted,
} from './completed.ts'
import {
  type MigratedCommit,
  type MigrationCounts,
  type MigrationEvent,
  type MigrationRequest,
  noMigrationCounts,
} from './events.ts'
import { Findings } from './findings.ts'
import { planJobs, type PipelinePlan } from './plan/job-plan.ts'
import { planPipelines } from './plan/pipeline-plan.ts'
import { requireVersion } from './plan/version-check.ts'
import { requireRest, restlessness } from './plan/rest-check.ts'
import { type Estimate, Survey } from './survey/survey.ts'
import type { MigrationPorts } from './ports.ts'
import { currentRun, endRun } from './runs.ts'
import { requireRoom, roomRefusal, switchOver } from './switch-over.ts'

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
      try {
        yield* this.#run(request, findings, signal)
      } catch (error) {
        // What could not be read may be why the rest is refused.
        yield* findings.take()
        throw error
      }
    } finally {
      this.#isRunning = false
    }
  }

  async *#run(
    request: MigrationRequest,
    findings: Findings,
    signal: AbortSignal,
  ): AsyncGenerator<MigrationEvent> {
    const { clock, openBucket } = this.#ports
    const ports = { clock, openBucket, signal, onDamage: findings.onDamage }
    await using cluster = await openOldCluster(request.place, ports)
    yield* new Run(this.#ports, cluster, request, findings, signal).events()
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

/** Those that stay open: no row says what they held. */
async function openAmong(
  commits: ReadyCommits,
  findTrees: FindTrees,
): Promise<readonly MigratedCommit[]> {
  const open: MigratedCommit[] = []
  for await (const commit of commits.withTrees(findTrees)) {
    if (commit.finishedAt === undefined) open.push(toldCommit(commit))
  }
  return open
}

function toldCommit({ repo, id, tree, oldTree }: ReadyCommit & HeldCommit): MigratedCommit {
  const { root, sizeBytes, fileCount } = tree
  return { repo, id, root, oldTree, sizeBytes, fileCount }
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
    const { isDryRun, isForced } = this.#request
    const completed = isDryRun ? undefined : await this.#completed(plan)
    if (completed !== undefined) {
      yield* this.#tellAgain(plan, completed)
      return
    }
    yield* this.#findings.take()
    if (isDryRun) {
      for (const reason of reasons) yield { kind: 'notice', text: `needs --force: ${reason}` }
      yield* this.#rehearse(plan)
      return
    }
    if (!isForced) requireRest(reasons)
    for (const reason of reasons) this.#findings.notice(reason)
    yield* this.#findings.take()
    await this.#ports.database.read((tx) => requireRoom(tx, plan))
    yield* this.#import(plan)
  }

  /** Reads what the cluster says of itself, which goes when it is planned what becomes of it. */
  async #plan(): Promise<Plan & { readonly reasons: readonly string[] }> {
    const findings = this.#findings
    const catalog = await this.#cluster.catalog(findings.onDamage)
    requireVersion(this.#request.from, catalog.version, this.#cluster.name)
    const { clock, specOf } = this.#ports
    const commits = planCommits(catalog, this.#request.openCommits, findings)
    const ports = { specOf, now: clock.now(), findings }
    const pipelines = planPipelines(catalog, this.#request, { ...ports, repos: commits.repos })
    return {
      ...commits,
      pipelines,
      jobs: planJobs(catalog, pipelines, this.#request, ports),
      access: catalog.access,
      reasons: restlessness(catalog, this.#request.unfinishedJobs, clock),
    }
  }

  /** What was told when the same cluster was migrated, if it was and is in the way now. */
  async #completed(plan: Plan): Promise<CompletedMigration | undefined> {
    return await this.#ports.database.read(async (tx) => {
      const completed = await findCompleted(tx, clusterOf(plan))
      return completed && (await roomRefusal(tx, plan)) !== undefined ? completed : undefined
    })
  }

  /** For whoever was not told when it was done. */
  async *#tellAgain(plan: Plan, completed: CompletedMigration): AsyncGenerator<MigrationEvent> {
    const { completedAt, findings, counts } = completed
    yield* findings
    let count = 0
    for await (const commit of commitsHere(this.#ports.database, plan.commits, completed)) {
      this.#signal.throwIfAborted()
      count += 1
      yield { kind: 'commit', commit }
    }
    const gone = counts.commits - count
    if (gone > 0) {
      const text = `commits that came and were deleted here since, of which the report says nothing: ${gone}`
      yield { kind: 'notice', text }
    }
    Object.assign(this.#counts, counts)
    yield { ...this.#end(), completedAt }
  }

  /**
   * Does all that a migration does, in stores of its own, with contents that are measured in place of
   * read: so it finds what a migration would, and holds as little.
   */
  async *#rehearse(plan: Plan): AsyncGenerator<MigrationEvent> {
    const { clock, database, openRehearsal } = this.#ports
    const refusal = await database.read((tx) => roomRefusal(tx, plan))
    if (refusal !== undefined) yield { kind: 'notice', text: `would be refused: ${refusal}` }
    await using stores = await openRehearsal()
    const now = clock.now()
    const survey = new Survey({ clock, objects: this.#cluster.objects })
    using _ = stores.leases.begin()
    const parts = { ...stores, now, intake: survey, contents: undefined, faultPoint: noFault }
    const { commits, branches, ...brought } = yield* this.#bring('looking at', plan, parts)
    const cargo = { ...plan, ...brought, commits, branches }
    yield* this.#tell('rehearsing the switch-over', 0, 0, true)
    await stores.chunks.flush()
    this.#counts.results = await stores.database.transact((tx) => switchOver(tx, cargo, now))
    this.#count({ ...plan, branches })
    yield* this.#findings.take()
    const tookMs = clock.monotonicMs() - this.#startedMs
    yield this.#end(survey.estimate(this.#counts, tookMs))
  }

  async *#import(plan: Plan): AsyncGenerator<MigrationEvent> {
    const { clock, contents, database, faultPoint = noFault } = this.#ports
    const now = clock.now()
    // Keeps what no row names yet, such as trees from which damaged files were left out.
    using _ = this.#ports.leases.begin()
    const intake = new StoringIntake({ contents, objects: this.#cluster.objects })
    const parts = { ...this.#ports, now, intake, faultPoint }
    const brought = yield* this.#bring('bringing', plan, parts)
    this.#requireWhole()
    if (await this.#cluster.hasChanged()) {
      throw new FailedPreconditionError(
        'the old cluster was written to while it was read: stop what writes to it, and migrate again; what has come is kept for that, and nothing is seen of it yet',
      )
    }
    const { branches, commits, findTrees } = brought
    yield* this.#tell('switching over', 0, 0, true)
    await this.#ports.chunks.flush()
    faultPoint('migration: all brought')
    // A pipeline that comes again has the id that it had.
    await purgeDeletedJobs(database)
    this.#count({ ...plan, branches })
    const open = await openAmong(commits, findTrees)
    this.#counts.results = await database.transact(async (tx) => {
      const results = await switchOver(tx, { ...plan, ...brought }, now)
      const counts = { ...this.#counts, results }
      const findings = this.#findings.kept
      await recordCompleted(tx, clusterOf(plan), { completedAt: now, counts, findings, open })
      faultPoint('migration: rows written')
      return results
    })
    faultPoint('migration: switched over')
    for await (const commit of commits.withTrees(findTrees)) {
      yield { kind: 'commit', commit: toldCommit(commit) }
    }
    yield this.#end()
  }

  async *#bring(
    verb: string,
    plan: Plan,
    parts: Omit<BringingPorts, 'cluster' | 'clock' | 'findings' | 'counts' | 'signal'>,
  ): AsyncGenerator<MigrationEvent, Brought> {
    const steps = bring(plan, this.#request.openCommits, {
      ...parts,
      cluster: this.#cluster,
      clock: this.#ports.clock,
      findings: this.#findings,
      counts: this.#counts,
      signal: this.#signal,
    })
    await using opened = new AsyncDisposableStack()
    opened.use(steps)
    opened.use(this.#findings.hear())
    for (;;) {
      const next = steps.next()
      for (let isSettled = false; !isSettled;) {
        isSettled = await this.#findings.heed(next)
        yield* this.#findings.take()
      }
      const step = await next
      if (step.done === true) return step.value
      const { stage, done, total } = step.value
      yield* this.#tell(`${verb} ${stage}`, done, total)
    }
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

  #end(estimate?: Estimate): Extract<MigrationEvent, { readonly kind: 'end' }> {
    return {
      kind: 'end',
      source: this.#cluster.name,
      isDryRun: this.#request.isDryRun,
      counts: { ...this.#counts },
      tookMs: this.#ports.clock.monotonicMs() - this.#startedMs,
      ...(estimate && { estimate }),
    }
  }
}

export type { OldPlace }
