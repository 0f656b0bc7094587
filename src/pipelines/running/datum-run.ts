import { CancelledError, DomainError } from '../../base/errors.ts'
import type { TreeEntry } from '../../storage/file-trees.ts'
import { equalBytes } from '../../base/bytes.ts'
import { encodeLog } from '../datum-logs.ts'
import type { WorkerActivity } from '../active-workers.ts'
import type { DatumRecord } from '../datum-sets.ts'
import type { DatumFailure, DatumResult } from '../datum-results.ts'
import type { DatumMember } from '../datums.ts'
import type { DatumOutcome, DatumWork, WorkMember } from '../datum-worker.ts'
import { groupOf } from '../discovery/group-members.ts'
import { atomsOf } from '../inputs.ts'
import { addStats, noStats, type ProcessStats } from '../job-records.ts'
import { newContents } from './new-contents.ts'
import type { JobPlan } from './plan.ts'
import type { RunPorts } from '../run-ports.ts'
import type { Turns } from './turns.ts'
import type { WorkerPool } from './worker-pool.ts'

/** After this many failures of user code the datum fails. */
const userAttemptCountMax = 4
/** After this many failures of ours the datum fails, too, and says that the fault is not its own. */
const internalAttemptCountMax = 5

export type DatumEnd =
  | { readonly kind: 'result'; readonly result: DatumResult }
  /** `hopeless`: other datums would fail in the same way, as when the program does not exist. */
  | { readonly kind: 'failure'; readonly failure: DatumFailure; readonly hopeless: boolean }

/** Who processes the datums of a job, and how many of them run user code at once. */
export interface JobWorkers {
  readonly pool: WorkerPool
  readonly turns: Turns
}

/** What processes one datum after the other. */
export interface JobWorker extends JobWorkers {
  readonly id: string
  /** Of the datums that it has processed for this job. */
  stats: ProcessStats
}

/**
 * Processes one datum to its end: user code that fails is tried again as in 1.5, our own failures
 * with growing pauses.
 *
 * @throws {CancelledError} when `signal` aborts.
 */
export async function runDatum(
  ports: RunPorts,
  plan: JobPlan,
  worker: JobWorker,
  datum: DatumRecord,
  signal: AbortSignal,
): Promise<DatumEnd> {
  const { job } = plan
  const activity: WorkerActivity = {
    id: worker.id,
    job: job.id,
    members: datum.members,
    startedAt: ports.clock.now(),
    stats: worker.stats,
    queueSize: 1,
  }
  using _ = ports.active.begin(activity)
  const common = { datum: datum.key, members: datum.members, job: job.id }
  const log = ports.logs.open(job.id, datum.key)
  let userFailures = 0
  let internalFailures = 0
  try {
    for (;;) {
      const attempt = await attemptDatum(ports, plan, { worker, activity }, datum, signal)
      const stats = 'stats' in attempt ? attempt.stats : noStats
      worker.stats = addStats(worker.stats, stats)
      const end = { ...common, stats, finishedAt: ports.clock.now(), log: encodeLog(log.lines()) }
      if (attempt.kind === 'success') {
        return { kind: 'result', result: { ...end, output: attempt.output } }
      }
      if (attempt.kind === 'failure') userFailures += 1
      else internalFailures += 1
      const spent =
        userFailures >= userAttemptCountMax || internalFailures >= internalAttemptCountMax
      const hopeless = attempt.kind === 'hopeless'
      if (spent || hopeless) {
        return { kind: 'failure', failure: { ...end, reason: attempt.reason }, hopeless }
      }
      const jitter = 0.5 + ports.random.fraction()
      await ports.clock.sleep(ports.retryPauseMs * jitter * 2 ** internalFailures, signal)
    }
  } finally {
    ports.logs.close(job.id, datum.key)
  }
}

type Attempt = DatumOutcome | { readonly kind: 'internal' | 'hopeless'; readonly reason: string }

async function attemptDatum(
  ports: RunPorts,
  plan: JobPlan,
  { worker, activity }: { readonly worker: JobWorker; readonly activity: WorkerActivity },
  datum: DatumRecord,
  signal: AbortSignal,
): Promise<Attempt> {
  const log = ports.logs.of(plan.job.id).get(datum.key)
  try {
    await using lease = await worker.pool.lease(plan.spec.transform, signal)
    return await lease.process({
      ...(await contentsOf(ports, plan, datum)),
      environment: environmentOf(plan, datum),
      onLine: (line) => log?.add(line),
      onLeftOut: (lineCount) => log?.leaveOut(lineCount),
      turn: async () => {
        const turn = await worker.turns.take()
        activity.queueSize = 0
        return turn
      },
      signal,
    })
  } catch (error) {
    if (signal.aborted || error instanceof CancelledError) {
      throw new CancelledError('the job was interrupted', { cause: error })
    }
    // What the server can say about the cause is said; anything else is a bug and stays here.
    if (!(error instanceof DomainError)) ports.log.error(`datum ${datum.key} met an error`, error)
    const text = error instanceof DomainError ? error.message : 'internal error; see the server log'
    if (error instanceof DomainError && error.kind === 'failed-precondition') {
      return { kind: 'hopeless', reason: text }
    }
    return { kind: 'internal', reason: text }
  }
}

/** What the datum's code is shown: all of its members, or what is new in them. */
async function contentsOf(
  ports: RunPorts,
  plan: JobPlan,
  { key, members }: DatumRecord,
): Promise<Pick<DatumWork, 'members' | 'formerOutput'>> {
  const work = await membersOf(ports, plan, members)
  return (await newContents(ports, plan, { key, members: work })) ?? { members: work }
}

async function membersOf(
  ports: RunPorts,
  plan: JobPlan,
  members: readonly DatumMember[],
): Promise<readonly WorkMember[]> {
  const work: WorkMember[] = []
  for (const member of members) {
    work.push({ input: member.input, path: member.path, entry: await entryOf(ports, plan, member) })
  }
  return work
}

/** Branches of a union may share a name and read different repos: the hash tells them apart. */
async function entryOf(ports: RunPorts, plan: JobPlan, member: DatumMember): Promise<TreeEntry> {
  for (const atom of atomsOf(plan.spec.input)) {
    const tree = atom.name === member.input ? plan.inputTrees.get(atom.repo) : undefined
    const entry = tree === undefined ? undefined : await ports.trees.get(tree, member.path)
    if (entry !== undefined && equalBytes(ports.trees.entryHash(entry), member.hash)) return entry
  }
  const group = groupOf(plan.spec.input, member)
  if (group !== undefined) return group
  throw new Error(`invariant broken: no input has ${member.input}:${member.path}`)
}

function environmentOf(plan: JobPlan, datum: DatumRecord): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {}
  for (const atom of atomsOf(plan.spec.input)) {
    const given = datum.members.some(({ input }) => input === atom.name)
    const commit = plan.job.inputs.find(({ repo }) => repo === atom.repo)?.commit
    if (given && commit !== undefined && !atom.name.includes('=')) {
      environment[`${atom.name}_COMMIT`] = commit
    }
  }
  environment['PPS_PIPELINE_NAME'] = plan.spec.name
  environment['PACH_JOB_ID'] = plan.job.id
  environment['PACH_DATUM_ID'] = datum.key
  environment['PACH_OUTPUT_COMMIT_ID'] = plan.job.outputCommit
  return environment
}
