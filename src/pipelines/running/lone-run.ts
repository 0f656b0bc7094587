import type { Instant } from '../../base/clock.ts'
import type { Transaction } from '../../database/database.ts'
import type { WorkerActivity } from '../active-workers.ts'
import { encodeLog } from '../datum-logs.ts'
import { insertFailure } from '../datum-results.ts'
import { datumKey, type DatumKey } from '../datums.ts'
import type { JobRecord } from '../job-records.ts'
import { noStats } from '../process-stats.ts'
import type { Transform } from '../executor.ts'
import type { SecretsGrant } from '../secrets.ts'
import { OpeningWatch } from './opening-watch.ts'
import type { WorkerLease, WorkerPool } from './worker-pool.ts'
import type { RunPorts } from './run-ports.ts'
import type { RunLog } from '../logs/running-logs.ts'

/** The run of a job whose code has no datums: what it prints, and what its one worker does. */
export class LoneRun implements Disposable {
  readonly log: RunLog
  readonly activity: WorkerActivity
  readonly #ports: RunPorts
  readonly #job: JobRecord
  readonly #datum: DatumKey
  readonly #held: DisposableStack

  /** `restart` is called when a user asks for that. */
  constructor(ports: RunPorts, job: JobRecord, restart: () => void) {
    using held = new DisposableStack()
    this.#ports = ports
    this.#job = job
    this.#datum = datumKey(job, [])
    const worker = `${job.pipeline}-0`
    this.log = ports.logs.open(job, { key: this.#datum, members: [] }, worker)
    held.defer(() => ports.logs.close(job.id, this.#datum))
    this.activity = {
      id: worker,
      job: job.id,
      members: [],
      startedAt: ports.clock.now(),
      stats: noStats,
      queueSize: 0,
      attempt: 1,
      lastReason: '',
      restart,
    }
    held.use(ports.active.begin(this.activity))
    this.#held = held.move()
  }

  /** Takes a worker, and tells meanwhile what it waits for. */
  async lease(
    pool: WorkerPool,
    transform: Transform,
    signal: AbortSignal,
    grant: SecretsGrant | undefined,
  ): Promise<WorkerLease> {
    using opening = new OpeningWatch(this.#ports.clock, this)
    return await pool.lease(transform, signal, grant, (what) => opening.set(what))
  }

  /** What every such code finds in its environment. */
  get environment(): Readonly<Record<string, string>> {
    const address = this.#ports.apiAddress?.()
    return {
      ...(address !== undefined && { ADDRESS: address }),
      PPS_PIPELINE_NAME: this.#job.pipeline,
      PACH_JOB_ID: this.#job.id,
    }
  }

  /** Keeps what was printed with the job. */
  async keep(tx: Transaction, reason: string, finishedAt: Instant): Promise<void> {
    await insertFailure(tx, {
      datum: this.#datum,
      members: [],
      job: this.#job.id,
      worker: this.activity.id,
      stats: noStats,
      finishedAt,
      reason,
      isRecovered: false,
      log: encodeLog(this.log.lines()),
    })
  }

  [Symbol.dispose](): void {
    this.#held.dispose()
  }
}
