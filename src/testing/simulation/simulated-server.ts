import { CancelledError, UnavailableError } from '../../base/errors.ts'
import type { Connection } from '../../database/sqlite/connection.ts'
import type { Database } from '../../database/database.ts'
import { PipelineCollection } from '../../pipelines/collection-source.ts'
import { JobCommitUses } from '../../pipelines/commit-uses.ts'
import type { DatumOutcome, DatumWork, DatumWorkers } from '../../pipelines/datum-worker.ts'
import { JobDownstream } from '../../pipelines/downstream.ts'
import { CronTicker } from '../../pipelines/cron-ticker.ts'
import type { OutputExports } from '../../pipelines/output-exports.ts'
import { createProcessing, type Processing } from '../../pipelines/processing.ts'
import { Triggers } from '../../pipelines/triggers.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import type { CollectionSource } from '../../storage/collection-roots.ts'
import { FileTrees } from '../../storage/file-trees.ts'
import { Leases } from '../../storage/leases.ts'
import { ProllyMaps } from '../../storage/prolly-map.ts'
import { DeletionNotes } from '../../versioning/deletion-notes.ts'
import { createVersioning, type Versioning } from '../../versioning/versioning.ts'
import type { MemoryBucket } from '../memory-bucket.ts'
import { MemorySpools } from '../memory-spools.ts'
import {
  exportsTo,
  failDatum,
  runFunction,
  unusedParts,
  type UserCode,
} from '../test-processing.ts'
import { type Life, SeededRandom, simulatedClock, type SimulatedEvents } from './events.ts'
import type { Files } from './expected-output.ts'
import { type CodeOf, type End, type LimitLaw, slowMs } from './limit-law.ts'
import { type KeptChunks, SimulatedChunks } from './simulated-chunks.ts'
import type { ServiceLaw } from './service-law.ts'
import { SimulatedDatabase } from './simulated-database.ts'
import { isService, isSlow, runCode, type Written } from './user-codes.ts'

/** What outlives every process. */
export interface Disk {
  readonly rows: Connection
  readonly chunks: KeptChunks
  /** How often user code ran, and how often a worker was lost, by datum. */
  readonly runs: Map<string, number>
  readonly losses: Map<string, number>
  readonly limits: LimitLaw
  readonly services: ServiceLaw
  /** Where pipelines export to, and the commit that each of them was the last to begin with. */
  readonly bucket: MemoryBucket
  readonly exported: Map<string, string>
}

/** Workers are lost at most so often for one datum, so that none fails for it. */
const lossesMax = 2
/** What pipelines run where their code has failed. */
export const errorCommand = 'nothing:0'
const slownessMsMax = 300
const crashMsMax = 90_000
/** Of so many writes to the bucket, one fails. */
const writesPerFailure = 12

/** One life of a server: everything of the product above the rows and the chunks. */
export interface SimulatedServer {
  readonly database: Database
  readonly chunks: SimulatedChunks
  readonly contents: ChunkedContents
  readonly trees: FileTrees
  readonly leases: Leases
  readonly maps: ProllyMaps
  readonly versioning: Versioning
  readonly processing: Processing
  readonly sources: readonly CollectionSource[]
  collect(): Promise<number>
  /** Nothing of it goes on from here. */
  crash(): void
  /** Ends as a server does that is told to. */
  stop(): Promise<void>
}

export interface SimulatedPorts {
  readonly events: SimulatedEvents
  readonly disk: Disk
  readonly seed: number
  /** Is told of what must not happen, and of what the product logs as an error. */
  readonly onBroken: (law: string) => void
  readonly onError: (text: string, cause: unknown) => void
  /** Hears of each database transaction as soon as it is committed. */
  readonly onCommitted: (topics: ReadonlySet<string>) => void
}

export function openSimulatedServer(ports: SimulatedPorts): SimulatedServer {
  const { events, disk } = ports
  const life: Life = { isOver: false }
  const device = (): Promise<void> => events.device(life)
  const leases = new Leases()
  const roll = (count: number): number => events.roll(count)
  const chunks = new SimulatedChunks({ kept: disk.chunks, leases, device, roll })
  const database = new SimulatedDatabase(disk.rows, device, ports.onCommitted)
  const contents = new ChunkedContents(chunks)
  const maps = new ProllyMaps(chunks)
  const trees = new FileTrees(chunks)
  const stores = { database, leases, spools: new MemorySpools(), chunks, contents, trees, maps }
  const clock = simulatedClock(events, life)
  const world = { clock, random: new SeededRandom(ports.seed) }
  const triggers = new Triggers(world)
  const versioning = createVersioning({
    ...stores,
    ...world,
    onHeadReady: (tx, heads) => triggers.onHeadReady(tx, heads),
    downstream: new JobDownstream(),
    uses: new JobCommitUses(stores),
  })
  const processing = createProcessing({
    ...stores,
    ...world,
    triggers,
    versioning,
    workers: simulatedWorkers(ports, life, { contents, trees }),
    exports: simulatedExports(ports, life, versioning),
    ...unusedParts(),
    log: { error: ports.onError },
    processorCount: 1,
    retryPauseMs: 50,
  })
  processing.scheduler.start()
  const ticker = new CronTicker({
    ...stores,
    // It looks at the clock for ever.
    clock: simulatedClock(events, life, { isIdle: true }),
    versioning,
    onHeadReady: (tx, heads) => triggers.onHeadReady(tx, heads),
    log: { error: ports.onError },
  })
  ticker.start()
  const sources = [new DeletionNotes(database), versioning, new PipelineCollection(database)]
  return {
    ...stores,
    versioning,
    processing,
    sources,
    collect: () => chunks.collect(sources),
    crash() {
      life.isOver = true
      disk.services.endAll()
      chunks.crash()
    },
    async stop() {
      await ticker[Symbol.asyncDispose]()
      await processing.scheduler[Symbol.asyncDispose]()
      await chunks.flush()
      life.isOver = true
      for (const name of disk.services.names) ports.onBroken(`service ${name} outlives the server`)
    },
  }
}

function simulatedWorkers(
  { events, disk, onBroken }: SimulatedPorts,
  life: Life,
  stores: { readonly contents: ChunkedContents; readonly trees: FileTrees },
): DatumWorkers {
  const timed = async (code: CodeOf, run: () => Promise<Written>): Promise<Written> => {
    if (code.command === errorCommand) return await run()
    const ended = disk.limits.begin(code, events.nowMs)
    const end = (how: End): void => {
      const broken = ended(how, events.nowMs)
      if (broken !== undefined) onBroken(broken)
    }
    try {
      const written = await run()
      end('done')
      return written
    } catch (error) {
      end(typeof error === 'string' ? 'failure' : 'cutOff')
      throw error
    }
  }
  const process = async (command: string, work: DatumWork): Promise<DatumOutcome> => {
    const datum = work.environment['PACH_DATUM_ID'] ?? ''
    await wait(events, life, work.signal)
    // A trial and its main line may be at the same datum at once.
    const known = disk.rows.get(
      `SELECT datum FROM datum_results JOIN job_rows AS made ON made.id = job
        JOIN job_rows AS running ON running.id = ? AND running.pipeline = made.pipeline
        WHERE datum = ? AND output_root <> ''`,
      [work.environment['PACH_JOB_ID'] ?? '', datum],
    )
    if (known !== undefined) onBroken(`datum ${datum} runs again, and its result was recorded`)
    const losses = disk.losses.get(datum) ?? 0
    if (losses < lossesMax && events.roll(20) === 0) {
      disk.losses.set(datum, losses + 1)
      throw new UnavailableError('the worker was lost')
    }
    return await runFunction(
      stores,
      async (files) => {
        const runCount = disk.runs.get(datum) ?? 0
        disk.runs.set(datum, runCount + 1)
        const job = work.environment['PACH_JOB_ID'] ?? ''
        return await timed({ job, datum, command }, async () => {
          if (isSlow(command, files)) await events.sleep(life, slowMs, { signal: work.signal })
          await wait(events, life, work.signal)
          const isFlaky = command.includes('flaky') && runCount < datum.charCodeAt(0) % 3
          if (isFlaky) failDatum('it works most of the time')
          return runCode(command, files)
        })
      },
      work,
    )
  }
  return {
    look: async () => {},
    notices: () => [],
    placeOf: () => 'simulation',
    open: async ({ command: [command = ''] }) => {
      await events.device(life)
      return {
        process: (work) =>
          isService(command)
            ? serve({ events, disk, onBroken }, life, stores, work)
            : process(command, work),
        [Symbol.asyncDispose]: async () => undefined,
      }
    },
  }
}

/** To a bucket that takes its time, and fails now and then. */
function simulatedExports(
  { events, disk }: SimulatedPorts,
  life: Life,
  versioning: Versioning,
): OutputExports {
  const { bucket } = disk
  bucket.onCall = async (call) => {
    if (call !== 'write') return
    await events.device(life)
    if (events.roll(writesPerFailure) === 0) throw new UnavailableError('the bucket is not there')
  }
  const exports = exportsTo(bucket, versioning)
  return {
    check: (url) => exports.check(url),
    async exportTree(output, options) {
      disk.exported.set(output.url, output.commit)
      return await exports.exportTree(output, options)
    },
  }
}

/** Runs the code of a service. */
async function serve(
  { events, disk, onBroken }: Pick<SimulatedPorts, 'events' | 'disk' | 'onBroken'>,
  life: Life,
  stores: { readonly contents: ChunkedContents; readonly trees: FileTrees },
  work: DatumWork,
): Promise<DatumOutcome> {
  const { PPS_PIPELINE_NAME: pipeline = '', PACH_JOB_ID: job = '' } = work.environment
  const code: UserCode = async (files) => {
    const broken = disk.services.begin(pipeline, { job, files: withoutOutput(files) })
    if (broken !== undefined) onBroken(broken)
    try {
      await serveUntilEnd(events, life, work.signal)
    } finally {
      // It takes its time to end.
      await events.device(life)
      disk.services.end(pipeline)
    }
    failDatum('it crashed')
  }
  return await runFunction(stores, code, work)
}

/** As code that now and then crashes, and else runs for ever. */
async function serveUntilEnd(
  events: SimulatedEvents,
  life: Life,
  signal: AbortSignal,
): Promise<void> {
  if (events.roll(4) === 0) return await events.sleep(life, events.roll(crashMsMax), { signal })
  await new Promise((_, reject) => {
    const end = (): void => reject(new CancelledError('the service was stopped'))
    if (signal.aborted) end()
    signal.addEventListener('abort', end, { once: true })
  })
}

function withoutOutput(files: Files): Files {
  return new Map([...files].filter(([path]) => !path.startsWith('out/')))
}

/** As user code that takes its time. */
async function wait(events: SimulatedEvents, life: Life, signal: AbortSignal): Promise<void> {
  const mood = events.roll(4)
  if (mood === 0) await events.device(life)
  if (mood === 1) await events.sleep(life, events.roll(slownessMsMax), { signal })
  signal.throwIfAborted()
}
