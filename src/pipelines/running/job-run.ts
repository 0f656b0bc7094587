import { pauseAfter } from '../../base/retries.ts'
import type { Lease } from '../../storage/leases.ts'
import type { MapRoot } from '../../storage/prolly-map.ts'
import { findBranch, setHead } from '../../versioning/branches.ts'
import { findCommit, insertFinishedCommit } from '../../versioning/commit-records.ts'
import { decodeDatum } from '../datums/datum-sets.ts'
import { firstFailure } from '../datum-results.ts'
import { type DatumKey, datumText } from '../datums.ts'
import { endExport } from '../exported-outputs.ts'
import { beginCounts, forgetFailures } from '../job-counts.ts'
import { findJob, getJob, setJobState, type JobRecord } from '../job-records.ts'
import type { JobStep } from '../job-steps.ts'
import { noStats } from '../process-stats.ts'
import type { OutputClashError } from '../outputs/outputs.ts'
import type { Parallelism, PipelineSpec } from '../specs.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { type JobWorker, runDatum } from './datum-run.ts'
import type { PendingDatum } from './inputs-ahead.ts'
import { interruptible } from './interruptible.ts'
import { JobDeadline } from './job-deadline.ts'
import { exportOutput } from './output-export.ts'
import { goodSetOf, mergeOutputs, type Merged } from './output-merging.ts'
import { pendingDatums } from './pending-datums.ts'
import { changesOf, planJob, specOfJob, type JobPlan } from './plan.ts'
import type { JobPause, Patience, RunPorts } from './run-ports.ts'
import { whatIsGone } from './lost-data.ts'
import { ResultRecorder, type Tally } from './result-recorder.ts'
import { runService } from './service-run.ts'
import { runSpout } from './spout-run.ts'
import { buildStats, commitStats, type StatsCommit } from './stats-commit.ts'
import { Semaphore } from '../../base/semaphore.ts'
import { WorkerPool } from './worker-pool.ts'

/** So many datums more than may run are fetched or stored meanwhile, so that user code need not wait. */
const preparingMax = 1

/**
 * Runs a job to its end: plans it, processes the datums that have no result yet, merges outputs,
 * exports what they make where the spec says so, and ends it in one transaction with its output
 * commit and whatever that sets off.
 *
 * @throws {CancelledError} when `signal` aborts; the job can be run again and goes on.
 */
export async function runJob(
  given: RunPorts,
  pool: WorkerPool,
  job: JobRecord,
  signal: AbortSignal,
): Promise<void> {
  const ports = interruptible(given, signal)
  const begun = await begin(ports, job, signal)
  if (begun === undefined) return
  const { service, jobTimeoutMs } = begun.spec
  if (begun.spec.spout === true) return await runSpout(ports, pool, begun, signal)
  await using limits = new AsyncDisposableStack()
  // Such code runs until it is stopped.
  const deadline =
    jobTimeoutMs === undefined || service !== undefined
      ? undefined
      : limits.use(new JobDeadline(ports, begun.job, jobTimeoutMs))
  const pause: JobPause = async (pauses, failureCount) => {
    using _ = deadline?.hold()
    await pauseAfter(ports, pauses, failureCount, signal)
  }
  using step = ports.steps.begin(job.id)
  using reading = ports.leases.beginReadingDurable()
  const plan = await planJob(ports, { id: job.id, step }, reading)
  step.set('')
  if (service !== undefined) return await runService(ports, pool, { plan, service }, signal)
  using recorder = new ResultRecorder(ports, plan.job, { signal, pause })
  try {
    await processDatums(ports, plan, pool, recorder, signal)
    await finish(ports, plan, recorder, { reading, step, signal, pause })
  } catch (error) {
    // What has ended need not run again; and nothing of this run may come after the next one has begun.
    await recorder.keepRest()
    throw error
  }
}

/** Ends the job, all datums of which have ended. */
async function finish(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
  { reading, step, signal, pause }: Finishing,
): Promise<void> {
  signal.throwIfAborted()
  await recorder.settle()
  if (recorder.tally.failed > 0) return await fail(ports, plan, recorder, failureReason)
  using putting = ports.leases.begin()
  const goodSet = await goodSetOf(ports, plan, recorder)
  const merged = await mergeOutputs(ports, plan, recorder, { goodSet, step, signal })
  if ('clash' in merged) {
    const reason = await clashReason(ports, plan, merged.clash)
    return await fail(ports, plan, recorder, async () => reason)
  }
  signal.throwIfAborted()
  await ports.chunks.flush()
  const { egressUrl: url } = plan.spec
  if (url !== undefined) {
    // So that no datum runs again, should the server stop while it exports.
    await recorder.recordRest()
    const { tree, contributions } = merged.output
    // An export may take hours, in which what others have put is to be collected.
    reading.hold({ kind: 'tree', root: tree.root })
    reading.hold({ kind: 'tree', root: contributions })
    reading.hold({ kind: 'map', root: goodSet })
    putting[Symbol.dispose]()
    step.set('')
    const target = { url, tree, lease: reading }
    const hopeless = await exportOutput(ports, plan, target, { signal, pause })
    if (hopeless !== undefined) return await fail(ports, plan, recorder, async () => hopeless)
    signal.throwIfAborted()
  }
  await succeed(ports, plan, recorder, { ...merged, goodSet })
}

interface Finishing extends Patience {
  readonly reading: Lease
  readonly step: JobStep
}

interface BegunJob {
  readonly job: JobRecord
  readonly spec: PipelineSpec
}

/** Marks the job as running; undefined when it has ended meanwhile. */
async function begin(
  ports: RunPorts,
  { id, state }: JobRecord,
  signal: AbortSignal,
): Promise<BegunJob | undefined> {
  // Another has none yet.
  if (state === 'running') await forgetFailures(ports.database, id, signal)
  const at = ports.clock.now()
  return await ports.database.transact(async (tx) => {
    if (state === 'running') {
      await tx.run('UPDATE job_rows SET restart_count = restart_count + 1 WHERE id = ?', id)
    }
    // Of one that has ended, the failures and counts tell of its end.
    if (!(await setJobState(tx, id, { state: 'running', reason: '', at }))) return undefined
    await beginCounts(tx, id)
    const job = await getJob(tx, id)
    return { job, spec: await specOfJob(tx, job) }
  })
}

async function processDatums(
  ports: RunPorts,
  plan: JobPlan,
  pool: WorkerPool,
  recorder: ResultRecorder,
  signal: AbortSignal,
): Promise<void> {
  let changedCount = 0
  for await (const { after } of changesOf(ports, plan)()) {
    if (after !== undefined) changedCount += 1
  }
  recorder.skip(plan.datumCount - changedCount)
  const inFlight = new Set<DatumKey>()
  const datums = pendingDatums(ports, plan, recorder, inFlight)
  // The first error stops the other slots, too; it is the one that is thrown.
  const failed = new AbortController()
  const stop = AbortSignal.any([signal, failed.signal, recorder.hopeless])
  let hopeless = false
  const runningMax = slotCount(ports, plan.spec.parallelism)
  await using errorPool = new WorkerPool(ports)
  const workers = { pool, errorPool, places: new Semaphore(runningMax) }
  const slots = Array.from({ length: runningMax + preparingMax }, async (_, index) => {
    const worker = { ...workers, id: `${plan.spec.name}-${index}`, stats: noStats }
    try {
      for (;;) {
        if (stop.aborted || hopeless) return
        const next = await datums.next()
        if (next.done === true) return
        const parts = { worker, recorder, inFlight }
        hopeless ||= await processDatum(ports, plan, parts, next.value, stop)
      }
    } catch (error) {
      failed.abort()
      throw error
    }
  })
  const ends = await Promise.allSettled(slots)
  await datums.return(undefined)
  recorder.hopeless.throwIfAborted()
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/** True when other datums would fail in the same way. */
async function processDatum(
  ports: RunPorts,
  plan: JobPlan,
  parts: {
    readonly worker: JobWorker
    readonly recorder: ResultRecorder
    readonly inFlight: Set<DatumKey>
  },
  datum: PendingDatum,
  stop: AbortSignal,
): Promise<boolean> {
  using held = new DisposableStack()
  let lease: Lease | undefined
  const end = await runDatum(ports, plan, parts.worker, datum, {
    signal: stop,
    onStoring: () => {
      // What the datum stores stays until its result is recorded.
      lease ??= held.use(ports.leases.begin())
    },
    onStopped: (run) => parts.recorder.stopped(run),
  })
  held.move()
  const added = parts.recorder.add(end, lease)
  parts.inFlight.delete(datum.key)
  await added
  return end.kind === 'failure' && end.hopeless
}

function slotCount(ports: RunPorts, parallelism: Parallelism): number {
  switch (parallelism.kind) {
    case 'default':
      // One more: while a program has ended, and the next has not begun, no processor is idle.
      return ports.processorCount + 1
    case 'constant':
      return parallelism.count
    case 'coefficient':
      return Math.max(1, Math.floor(parallelism.factor * ports.processorCount))
  }
}

type Reason = (tx: ReadTransaction, plan: JobPlan, tally: Tally) => Promise<string>

async function fail(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
  reasonOf: Reason,
): Promise<void> {
  await ports.chunks.flush()
  using _ = ports.leases.begin()
  const stats = await recordedStats(ports, plan, recorder)
  const at = ports.clock.now()
  await ports.database.transact(async (tx) => {
    await recorder.writeRest(tx, plan.datumCount)
    if (!(await isCurrent(tx, plan))) return
    const reason = await reasonOf(tx, plan, recorder.tally)
    const hasFailed = await setJobState(tx, plan.job.id, { state: 'failure', reason, at })
    if (!hasFailed || stats === undefined) return
    if ((await whatIsGone(tx, plan.job)) === undefined)
      await commitStats(tx, ports, plan.job, stats)
  })
}

/** Of all datums that have ended, which are then recorded. */
async function recordedStats(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
): Promise<StatsCommit | undefined> {
  if (!plan.spec.enableStats) return undefined
  await recorder.recordRest()
  return await buildStats(ports, plan)
}

/** Whether the job is still what was planned: an update of the pipeline gives it new code. */
async function isCurrent(tx: ReadTransaction, plan: JobPlan): Promise<boolean> {
  const job = await findJob(tx, plan.job.id)
  return job?.pipelineVersion === plan.job.pipelineVersion
}

async function failureReason(tx: ReadTransaction, plan: JobPlan, tally: Tally): Promise<string> {
  const failure = await firstFailure(tx, plan.job.id)
  if (failure === undefined) return ''
  const { first, count } = failure
  const others = count === 1 ? '' : ` (and ${count - 1} more failed)`
  const { processed, skipped, failed, recovered } = tally
  const untriedCount = plan.datumCount - processed - skipped - failed - recovered
  const untried =
    untriedCount === 0 ? '' : ` (${untriedCount} more would fail so, and were not tried)`
  return `datum ${datumText(first.datum, first.members)} failed: ${first.reason}${others}${untried}`
}

async function clashReason(
  ports: RunPorts,
  plan: JobPlan,
  clash: OutputClashError,
): Promise<string> {
  const names: string[] = []
  for (const orderKey of clash.orderKeys) {
    const value = await ports.maps.get(plan.datumSet, orderKey)
    if (value === undefined) continue
    const { key, members } = decodeDatum(value)
    names.push(datumText(key, members))
  }
  return `${clash.message}: datums ${names.join(' and ')}`
}

async function succeed(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
  merged: Merged & { readonly goodSet: MapRoot },
): Promise<void> {
  const { job } = plan
  using _ = ports.leases.begin()
  const stats = await recordedStats(ports, plan, recorder)
  const at = ports.clock.now()
  await ports.database.transact(async (tx) => {
    await recorder.writeRest(tx, plan.datumCount)
    if (!(await isCurrent(tx, plan))) return
    const gone = await whatIsGone(tx, job)
    if (gone !== undefined) {
      await setJobState(tx, job.id, { state: 'failure', reason: gone, at })
      return
    }
    if (!(await setJobState(tx, job.id, { state: 'success', reason: '', at }))) return
    await tx.run(
      'UPDATE job_rows SET contributions_root = ?, good_set_root = ? WHERE id = ?',
      merged.output.contributions,
      merged.goodSet === plan.datumSet ? null : merged.goodSet,
      job.id,
    )
    const { root, sizeBytes, fileCount } = merged.output.tree
    await insertFinishedCommit(tx, {
      repo: job.outputRepo,
      id: job.outputCommit,
      parent: await outputParent(tx, job),
      provenance: job.inputs.map(({ repo, commit }) => ({ repo, id: commit })),
      startedAt: job.startedAt ?? at,
      finishedAt: at,
      tree: { root, sizeBytes, fileCount },
      addedBytes: merged.addedBytes,
    })
    const head = { repo: job.outputRepo, name: job.outputBranch, head: job.outputCommit }
    await setHead(tx, ports.onHeadReady, head)
    if (plan.spec.egressUrl !== undefined) await endExport(tx, job)
    if (stats !== undefined) await commitStats(tx, ports, job, stats)
  })
}

/** The head of the output branch, or the nearest finished commit before it. */
async function outputParent(
  tx: Transaction,
  job: JobRecord,
): Promise<JobRecord['outputCommit'] | undefined> {
  const branch = await findBranch(tx, job.outputRepo, job.outputBranch)
  if (branch === undefined) return undefined
  const head = await findCommit(tx, job.outputRepo, branch.head)
  return head?.state.kind === 'finished' ? head.id : head?.parent
}
