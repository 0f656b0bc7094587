import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { Pauses } from '../../base/retries.ts'
import type { Turns } from '../../base/turns.ts'
import type { Database } from '../../database/database.ts'
import type { ChunkStore } from '../../storage/chunks.ts'
import type { Contents } from '../../storage/contents.ts'
import type { FileTrees } from '../../storage/file-trees.ts'
import type { Leases } from '../../storage/leases.ts'
import type { ProllyMaps } from '../../storage/prolly-map.ts'
import type { OnHeadReady } from '../../versioning/ports.ts'
import type { ActiveWorkers } from '../active-workers.ts'
import type { OutputExports } from '../output-exports.ts'
import type { DatumWorkers } from '../datum-worker.ts'
import type { JobSteps } from '../job-steps.ts'
import type { RunningLogs } from '../logs/running-logs.ts'
import type { Secrets } from '../secrets.ts'
import type { ServiceDoors } from '../service-doors.ts'

/** What goes wrong without anybody waiting for an answer is told here. */
export interface RunLog {
  /** An internal error, with its cause. */
  error(text: string, cause: unknown): void
}

/** Everything that running jobs needs from the world. */
export interface RunPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly trees: FileTrees
  readonly maps: ProllyMaps
  readonly leases: Leases
  readonly clock: Clock
  /** Of the event loop, for work that never waits; absent where nobody else wants one. */
  readonly turns?: Turns
  readonly random: Random
  readonly workers: DatumWorkers
  readonly exports: OutputExports
  readonly secrets: Pick<Secrets, 'grant' | 'texts'>
  readonly serviceDoors: ServiceDoors
  readonly logs: RunningLogs
  readonly active: ActiveWorkers
  readonly steps: JobSteps
  readonly onHeadReady: OnHeadReady
  readonly log: RunLog
  /** HOST:PORT at which user code of spouts finds the API; undefined while there is none. */
  readonly apiAddress?: () => string | undefined
  /** Of this machine, for pipelines whose spec does not say how many datums may run at once; at least 1. */
  readonly processorCount: number
  /** The pause before a datum is tried again, ± 50 %; doubled after each internal error. */
  readonly retryPauseMs: number
}

/**
 * Waits after so many errors of ours, in time that no limit of the job counts.
 *
 * @throws {CancelledError} when the run is to end.
 */
export type JobPause = (pauses: Pauses, failureCount: number) => Promise<void>

/** What tries things again in a run of a job. */
export interface Patience {
  /** Aborts when the run is to end. */
  readonly signal: AbortSignal
  readonly pause: JobPause
}
