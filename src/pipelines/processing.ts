import type { Versioning } from '../versioning/versioning.ts'
import { ActiveWorkers } from './active-workers.ts'
import { CronTicker } from './cron-ticker.ts'
import { RunningLogs } from './datum-logs.ts'
import { FileLineage } from './file-lineage.ts'
import { JobLogs } from './job-logs.ts'
import { Jobs } from './jobs.ts'
import { Pipelines } from './pipelines.ts'
import type { RunPorts } from './run-ports.ts'
import { Scheduler } from './scheduler.ts'
import type { Triggers } from './triggers.ts'

/** Data that processes itself: pipelines, the jobs that new commits start, and what ran where. */
export interface Processing {
  readonly pipelines: Pipelines
  readonly jobs: Jobs
  readonly logs: JobLogs
  /** Who processes what right now. */
  readonly active: Pick<ActiveWorkers, 'of'>
  readonly lineage: FileLineage
  /** Runs nothing until it is started. The caller disposes of it. */
  readonly scheduler: Scheduler
  /** Makes no tick until it is started. The caller disposes of it. */
  readonly ticker: CronTicker
}

/** `triggers` is also what versioning calls when a commit becomes a head. */
export function createProcessing(
  ports: Omit<RunPorts, 'logs' | 'active' | 'onHeadReady'> & {
    readonly triggers: Triggers
    readonly versioning: Pick<Versioning, 'files' | 'transactions'>
  },
): Processing {
  const running = new RunningLogs()
  const active = new ActiveWorkers()
  const { triggers } = ports
  const onHeadReady: RunPorts['onHeadReady'] = (tx, heads) => triggers.onHeadReady(tx, heads)
  return {
    pipelines: new Pipelines({ ...ports, onHeadReady }),
    jobs: new Jobs(ports),
    logs: new JobLogs({ database: ports.database, running }),
    active,
    lineage: new FileLineage(ports),
    scheduler: new Scheduler({ ...ports, logs: running, active, onHeadReady }),
    ticker: new CronTicker(ports),
  }
}
