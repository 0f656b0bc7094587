import { type CheckEvent, checkEvents } from '../base/check-events.ts'
import type { CheckOptions, CheckRun } from '../base/check-run.ts'
import type { Clock } from '../base/clock.ts'
import {
  DataLossError,
  DomainError,
  FailedPreconditionError,
  UnavailableError,
} from '../base/errors.ts'
import { checkEventLog, checkSchema, checkSqliteFile } from '../database/database-check.ts'
import { databaseFinding } from '../database/database-findings.ts'
import type { Database } from '../database/database.ts'
import { checkBaseJobs, checkPipelinesRows, visitJobRoots } from '../pipelines/pipelines-check.ts'
import type { PackStore } from '../storage/chunk-store.ts'
import { FileTrees } from '../storage/file-trees.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import { StoreCheck } from '../storage/store-check.ts'
import {
  checkVersioningRows,
  checkVersioningSizes,
  visitVersioningRoots,
} from '../versioning/versioning-check.ts'
import { migrations } from './migrations.ts'

/** A store that is open. */
export interface CheckedStore {
  readonly database: Database
  /** The database's file. */
  readonly metadata: string
  readonly objects: ObjectStore
  readonly chunks: PackStore
  readonly clock: Clock
}

/** So that a check keeps little in memory besides what it needs. */
const cacheBytesMax = 8 * 1024 * 1024

/** Checks every layer of a store, from the metadata's pages to the bytes of packs. */
export async function checkStore(store: CheckedStore, run: CheckRun): Promise<void> {
  const { database, metadata, objects, chunks, clock } = store
  const maps = new ProllyMaps(chunks, { cacheBytesMax })
  const trees = new FileTrees(chunks)
  const ports = { database, maps, trees, leases: chunks.leases, clock, run }
  const whole = new StoreCheck({ objects, database, chunks, run })
  const steps = [
    () => checkSqliteFile(metadata, run),
    () => checkSchema({ database, path: metadata }, migrations, run),
    () => checkEventLog(database, run),
    // First what pipelines know of provenance, since versioning works out what follows from it.
    () => checkPipelinesRows(ports),
    () => checkVersioningRows(ports),
    () =>
      whole.check(async (visitor) => {
        await visitVersioningRoots(ports, visitor)
        await visitJobRoots(ports, visitor)
      }),
    () => checkVersioningSizes(ports),
    () => checkBaseJobs(ports),
  ]
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      if (!mayGoOn(error, run)) throw error
      // A page of the database that cannot be read; the other checks may need others.
      const name = error instanceof DataLossError ? 'metadata-damaged' : 'check-stopped'
      await run.report({
        kind: databaseFinding(name),
        subject: {},
        what: `the check of ${run.stage} had to stop: ${error instanceof Error ? error.message : String(error)}`,
      })
    }
  }
}

/** What damage may lead to; not what the machine or whoever asked does. */
function mayGoOn(error: unknown, run: CheckRun): boolean {
  if (run.signal.aborted) return false
  if (error instanceof DataLossError || !(error instanceof DomainError)) return true
  // Nobody else can have closed it: the disk does not give it.
  return error instanceof UnavailableError && run.options.exclusive
}

/** Checks of a running server, one at a time: each takes memory and the disk. */
export class StoreChecks {
  readonly #store: CheckedStore
  #isRunning = false

  constructor(store: CheckedStore) {
    this.#store = store
  }

  /** @throws {FailedPreconditionError} at the first pull while another check runs. */
  async *run(
    options: Pick<CheckOptions, 'full' | 'fix'>,
    signal: AbortSignal,
  ): AsyncGenerator<CheckEvent> {
    if (this.#isRunning) {
      throw new FailedPreconditionError(
        'a check of this server is running already; wait until it has ended, or end it',
      )
    }
    this.#isRunning = true
    try {
      const { clock } = this.#store
      yield* checkEvents({ ...options, exclusive: false }, { clock, signal }, async (run) => {
        await checkStore(this.#store, run)
      })
    } finally {
      this.#isRunning = false
    }
  }
}
