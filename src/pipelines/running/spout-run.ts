import { CancelledError, DomainError } from '../../base/errors.ts'
import type { DatumOutcome } from '../datum-worker.ts'
import { findJob, setJobState, type JobRecord } from '../job-records.ts'
import type { RunPorts } from './run-ports.ts'
import type { PipelineSpec } from '../specs.ts'
import { workerTransform } from '../specs/worker-transform.ts'
import { hasEnded } from '../states.ts'
import { Interruption } from './interruption.ts'
import { LoneRun } from './lone-run.ts'
import type { WorkerPool } from './worker-pool.ts'

/**
 * Runs the code of a spout until it ends by itself, which fails the job, or is stopped. What it
 * printed is kept with the job; what it left in `/pfs/out` is not.
 *
 * @throws {CancelledError} when `signal` aborts; a job that has not ended can be run again.
 */
export async function runSpout(
  ports: RunPorts,
  pool: WorkerPool,
  { job, spec }: { readonly job: JobRecord; readonly spec: PipelineSpec },
  signal: AbortSignal,
): Promise<void> {
  using interruption = new Interruption(signal)
  using lone = new LoneRun(ports, job, () => interruption.end('it was restarted by a user'))
  const run = async (): Promise<DatumOutcome> => {
    const grant = await ports.secrets.grant(spec.secrets)
    await using lease = await lone.lease(pool, workerTransform(spec), interruption.signal, grant)
    return await lease.process({
      members: [],
      environment: lone.environment,
      onLine: (line) => lone.log.add(line),
      onLeftOut: (lineCount) => lone.log.leaveOut(lineCount),
      place: async () => ({ [Symbol.dispose]: () => undefined }),
      signal: interruption.signal,
    })
  }
  const end = await run().catch((error: unknown) => error)
  const isRestarted = interruption.reason !== undefined
  const wasStopped = signal.aborted || (end instanceof CancelledError && !isRestarted)
  const reason = wasStopped ? 'it was stopped' : (interruption.reason ?? reasonOf(ports, end))
  const finishedAt = ports.clock.now()
  await ports.database.transact(async (tx) => {
    const now = await findJob(tx, job.id)
    if (now === undefined || now.pipelineVersion !== job.pipelineVersion) return
    // One that was interrupted goes on later, and then prints anew.
    if (wasStopped && !hasEnded(now.state)) return
    await lone.keep(tx, reason, finishedAt)
    if (!wasStopped) await setJobState(tx, job.id, { state: 'failure', reason, at: finishedAt })
  })
  if (wasStopped) throw new CancelledError('the spout was stopped')
}

/** Why a run ended; code that succeeds has ended all the same. */
function reasonOf(ports: RunPorts, end: unknown): string {
  if (end instanceof DomainError) return end.message
  if (typeof end === 'object' && end !== null && 'kind' in end) {
    const { kind, reason } = end as DatumOutcome & { readonly reason?: string }
    const why = kind === 'success' ? 'its code ended with exit code 0' : (reason ?? '')
    return `${why}; a spout's code runs until it is stopped, and is started again`
  }
  ports.log.error('a spout met an error', end)
  return 'internal error; see the server log'
}
