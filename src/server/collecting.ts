import type { Clock } from '../base/clock.ts'
import type { Database } from '../database/database.ts'
import { ImportCollection } from '../migration/import-collection.ts'
import { datumTagPrefixes, PipelineCollection } from '../pipelines/collection-source.ts'
import type { PackStore } from '../storage/chunk-store.ts'
import {
  type CollectOptions,
  CollectionRunningError,
  Collector,
  type CollectionReport,
} from '../storage/collector.ts'
import { DeletionNotes } from '../versioning/deletion-notes.ts'
import { ObjectCollection } from '../versioning/object-collection.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { startBackgroundTask } from './background-task.ts'
import { collectEveryMinutesDefault } from './server-config.ts'
import type { Log } from './log.ts'

const msPerMinute = 60_000
/** Reads that run when a pack goes have this long; one that is slower looks its chunk up again. */
const graceMs = 200
/** Without deletions, garbage is looked for once the store has grown by this part … */
const growthRatio = 0.25
/** … and by so much. */
const growthBytesMin: number = 64 * 1024 * 1024

/** What frees the chunks that no layer of this server refers to. */
export function openCollector(parts: {
  readonly store: PackStore
  readonly database: Database
  readonly versioning: Versioning
  readonly clock: Clock
}): Collector {
  const { store, database, versioning, clock } = parts
  const tagPrefixes = async (): Promise<readonly string[]> => await datumTagPrefixes(database)
  const sources = [
    // First: what is deleted from then on is for the next time.
    new DeletionNotes(database),
    // Before those that it hands over to.
    new ImportCollection(database),
    versioning,
    new PipelineCollection(database),
    // Last: it goes by what the others keep.
    new ObjectCollection({ database, clock, tagPrefixes }),
  ]
  return new Collector({ store, sources, clock, graceMs })
}

interface Parts {
  readonly collector: Collector
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  readonly collectEveryMinutes?: number
}

/**
 * Collects in the background, when something was deleted or the store has grown since the last
 * time, and not more often than it is told.
 */
export function startCollecting(parts: Parts): AsyncDisposable {
  const { collectEveryMinutes = collectEveryMinutesDefault, log } = parts
  const tasks = new AsyncDisposableStack()
  if (collectEveryMinutes === 0) return tasks
  const deletions = new DeletionNotes(parts.database)
  const collecting = async (signal: AbortSignal): Promise<void> => {
    const { collector } = parts
    let replacedCount = 0
    for (;;) {
      await parts.clock.sleep(collectEveryMinutes * msPerMinute, signal)
      const sizeBytes = await collector.sizeBytesAfterLast()
      const grownBytes = collector.sizeBytes - sizeBytes
      const hasGrown = grownBytes > Math.max(growthBytesMin, sizeBytes * growthRatio)
      const isDue = await deletions.isDue()
      const isHealed = collector.damageReplacedCount > replacedCount
      if (!hasGrown && !isHealed && !isDue) continue
      replacedCount = collector.damageReplacedCount
      await collectOnce(parts, { signal, isIncremental: !isDue })
    }
  }
  tasks.use(startBackgroundTask('collecting garbage', log, collecting))
  return tasks
}

/** What goes wrong is told; the next time may be better. */
async function collectOnce({ collector, log }: Parts, options: CollectOptions): Promise<void> {
  const { signal } = options
  try {
    log.info('collected garbage', factsOf(await collector.collect(options)))
  } catch (error) {
    if (signal.aborted) throw error
    if (error instanceof CollectionRunningError) return // somebody has asked for it
    log.error('garbage was not collected', error)
  }
}

function factsOf(report: CollectionReport): Readonly<Record<string, number>> {
  const { packsDeleted, packsRepacked, packsLeased, packsLeft } = report
  const { bytesBefore, bytesAfter, removed } = report
  return {
    freedBytes: bytesBefore - bytesAfter,
    bytesAfter,
    packsDeleted,
    packsRepacked,
    packsLeased,
    packsLeft,
    resultsRemoved: removed.results,
    objectsRemoved: removed.objects,
    chunksMarked: report.chunksMarked,
    chunksRemembered: report.chunksRemembered,
    tookMs: Math.round(report.tookMs),
  }
}
