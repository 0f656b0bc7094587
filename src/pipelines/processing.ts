import type { Spools } from '../storage/spool.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { ActiveWorkers } from './active-workers.ts'
import { BranchTriggers } from './branch-triggers.ts'
import { CronTicker } from './cron-ticker.ts'
import { Explanations } from './explanations.ts'
import { FileLineage } from './file-lineage.ts'
import { JobSteps } from './job-steps.ts'
import { JobLogs } from './job-logs.ts'
import { Jobs } from './jobs/jobs.ts'
import { PipelinePlans } from './pipeline-plans.ts'
import { Pipelines } from './pipelines.ts'
import type { RunPorts } from './running/run-ports.ts'
import { RunningLogs } from './logs/running-logs.ts'
import { Scheduler } from './running/scheduler.ts'
import type { SecretKeys } from './secret-keys.ts'
import { Secrets } from './secrets.ts'
import { Statistics } from './statistics.ts'
import { Trials } from './trials.ts'
import type { Triggers } from './triggers.ts'

/** Data that processes itself: pipelines, the jobs that new commits start, and what ran where. */
export interface Processing {
  readonly pipelines: Pipelines
  readonly trials: Trials
  readonly branchTriggers: BranchTriggers
  readonly jobs: Jobs
  readonly logs: JobLogs
  /** Who processes what right now. */
  readonly active: Pick<ActiveWorkers, 'of'>
  readonly plans: PipelinePlans
  readonly explanations: Explanations
  readonly lineage: FileLineage
  readonly statistics: Statistics
  readonly secrets: Secrets
  /** Runs nothing until it is started. The caller disposes of it. */
  readonly scheduler: Scheduler
  /** Makes no tick until it is started. The caller disposes of it. */
  readonly ticker: CronTicker
}

/** `triggers` is also what versioning calls when a commit becomes a head. */
export function createProcessing(
  ports: Omit<RunPorts, 'logs' | 'active' | 'steps' | 'onHeadReady' | 'secrets'> & {
    readonly secretKeys: SecretKeys
    readonly triggers: Triggers
    readonly versioning: Pick<Versioning, 'files' | 'transactions'>
    readonly spools: Spools
  },
): Processing {
  const running = new RunningLogs()
  const active = new ActiveWorkers()
  const steps = new JobSteps()
  const secrets = new Secrets({ ...ports, keys: ports.secretKeys })
  const { triggers } = ports
  const onHeadReady: RunPorts['onHeadReady'] = (tx, heads) => triggers.onHeadReady(tx, heads)
  const pipelines = new Pipelines({ ...ports, onHeadReady })
  return {
    pipelines,
    trials: new Trials({ ...ports, onHeadReady }),
    branchTriggers: new BranchTriggers({ ...ports, onHeadReady }),
    jobs: new Jobs({ ...ports, active, steps }),
    logs: new JobLogs({ ...ports, running }),
    active,
    plans: new PipelinePlans({ ...ports, pipelines }),
    explanations: new Explanations(ports),
    lineage: new FileLineage(ports),
    statistics: new Statistics(ports),
    secrets,
    scheduler: new Scheduler({ ...ports, secrets, logs: running, active, steps, onHeadReady }),
    ticker: new CronTicker({ ...ports, onHeadReady }),
  }
}
