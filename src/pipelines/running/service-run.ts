import { CancelledError, DomainError, FailedPreconditionError } from '../../base/errors.ts'
import { decodeDatum } from '../datums/datum-sets.ts'
import type { DatumMember } from '../datums.ts'
import type { WorkMember } from '../datum-worker.ts'
import { findJob, noteReason } from '../job-records.ts'
import { memberEntry } from '../datums/member-entries.ts'
import type { RunPorts } from './run-ports.ts'
import type { ServicePorts } from '../specs/service-check.ts'
import { hasEnded } from '../states.ts'
import { commitVariables } from './commit-variables.ts'
import { Interruption } from './interruption.ts'
import { LoneRun } from './lone-run.ts'
import { outermostMembers } from './outermost-members.ts'
import type { JobPlan } from './plan.ts'
import type { WorkerPool } from './worker-pool.ts'

/** Code that ended sooner than this went wrong at once. */
const shortRunMs = 60_000
/** The pause before it is started again; doubled with each short run that follows another. */
const pauseMsMin = 1000
const pauseMsMax = 60_000
/** Files and directories that are shown, at the places that the globs match. */
const memberCountMax = 10_000

interface ServiceJob {
  readonly plan: JobPlan
  readonly service: ServicePorts
}

/**
 * Runs the code of a service over all that its inputs hold, again whenever it ends, until the job is
 * stopped or replaced. What it printed is kept with the job; what it left in `/pfs/out` is not.
 *
 * @throws {CancelledError} when `signal` aborts; a job that has not ended can be run again.
 */
export async function runService(
  ports: RunPorts,
  pool: WorkerPool,
  { plan, service }: ServiceJob,
  signal: AbortSignal,
): Promise<void> {
  const { job } = plan
  const members = await membersOf(ports, plan)
  using held = new DisposableStack()
  let current = new Interruption(signal)
  held.defer(() => current[Symbol.dispose]())
  const lone = held.use(new LoneRun(ports, job, () => current.end('it was restarted by a user')))
  const { activity, log } = lone
  let pauseMs = pauseMsMin
  while (!signal.aborted) {
    current[Symbol.dispose]()
    current = new Interruption(signal)
    await noteIn(ports, plan, '')
    const begunMs = ports.clock.monotonicMs()
    const reason = await serveOnce(ports, pool, { plan, service, members, lone, run: current })
    if (signal.aborted) break
    const isShort = ports.clock.monotonicMs() - begunMs < shortRunMs
    pauseMs = isShort ? pauseMs : pauseMsMin
    const text = `${reason}; it is started again after ${pauseMs / 1000} s`
    log.note(`(run ${activity.attempt} ended: ${text})`, ports.clock.now())
    await noteIn(ports, plan, text)
    activity.attempt += 1
    activity.lastReason = reason
    // A restart ends the pause, an abort all.
    await ports.clock.sleep(pauseMs, current.signal).catch(() => undefined)
    if (isShort) pauseMs = Math.min(pauseMsMax, pauseMs * 2)
  }
  const finishedAt = ports.clock.now()
  await ports.database.transact(async (tx) => {
    const now = await findJob(tx, job.id)
    // One that was interrupted goes on later, and then prints anew.
    if (now === undefined || !hasEnded(now.state)) return
    if (now.pipelineVersion !== job.pipelineVersion) return
    await lone.keep(tx, 'it was stopped', finishedAt)
  })
  throw new CancelledError('the service was stopped')
}

/** Runs the code until it ends, or is ended; says why, in words for people. */
async function serveOnce(
  ports: RunPorts,
  pool: WorkerPool,
  {
    plan,
    service,
    members,
    lone,
    run,
  }: ServiceJob & {
    readonly members: readonly WorkMember[]
    readonly lone: LoneRun
    readonly run: Interruption
  },
): Promise<string> {
  try {
    const grant = await ports.secrets.grant(plan.spec.secrets)
    await using lease = await lone.lease(pool, plan.transform, run.signal, grant)
    await using _ = await ports.serviceDoors.open(service)
    const outcome = await lease.process({
      members,
      environment: {
        ...commitVariables(plan, () => true),
        PPS_SERVICE_PORT: String(service.internalPort),
        ...lone.environment,
      },
      onLine: (line) => lone.log.add(line),
      onLeftOut: (lineCount) => lone.log.leaveOut(lineCount),
      place: async () => ({ [Symbol.dispose]: () => undefined }),
      signal: run.signal,
    })
    return outcome.kind === 'failure' ? outcome.reason : 'user code ended with exit code 0'
  } catch (error) {
    if (run.signal.aborted) return run.reason ?? 'it was stopped'
    if (error instanceof DomainError) return error.message
    ports.log.error(`service ${plan.spec.name} met an error`, error)
    return 'internal error; see the server log'
  }
}

/** Everything that its inputs match, each file once. */
async function membersOf(ports: RunPorts, plan: JobPlan): Promise<readonly WorkMember[]> {
  const found = new Map<string, DatumMember>()
  for await (const { value } of ports.maps.scan(plan.datumSet)) {
    for (const member of decodeDatum(value).members) {
      found.set(`${member.input}:${member.path}`, member)
    }
    if (found.size <= memberCountMax) continue
    throw new FailedPreconditionError(
      `the globs of service ${plan.spec.name} match more than ${memberCountMax} files and directories: use a glob such as "/", which shows a whole commit`,
    )
  }
  const members: WorkMember[] = []
  for (const member of outermostMembers(found.values())) {
    const { input, path } = member
    const entry = await memberEntry(ports.trees, plan.spec.input, plan.inputTrees, member)
    members.push({ input, path, entry })
  }
  return members
}

async function noteIn(ports: RunPorts, { job }: JobPlan, reason: string): Promise<void> {
  await ports.database.transact((tx) => noteReason(tx, job, reason))
}
