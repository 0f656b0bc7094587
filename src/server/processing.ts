import { availableParallelism } from 'node:os'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Database } from '../database/database.ts'
import type { OutputExports } from '../pipelines/output-exports.ts'
import { ChoosingExecutor } from '../executors/choosing.ts'
import { openContainerExecutor } from '../executors/containers.ts'
import {
  openProcessExecutor,
  type ProcessExecutor,
  usualProgramPath,
} from '../executors/process.ts'
import type { ImageBuilds } from '../pipelines/image-builds.ts'
import { createProcessing, type Processing } from '../pipelines/processing.ts'
import type { Triggers } from '../pipelines/triggers.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { Contents } from '../storage/contents.ts'
import { directoryError } from '../storage/file-errors.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { Leases } from '../storage/leases.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { SlotWorkers } from '../workers/slot-workers.ts'
import type { DiagnosisFacts } from './diagnosis.ts'
import type { ExecutorsConfig } from './executors-config.ts'
import type { DataDirectory } from './data-directory.ts'
import type { Log } from './log.ts'

/** As in 1.5, give or take a half. */
const retryPauseMs = 500
const inputCacheBytesMax = 8 * 1024 ** 3
const inputCachePart = 0.1

/** Pipelines, with user code on this machine. Disposing stops what runs. */
export interface OpenProcessing extends Processing, AsyncDisposable {
  readonly images: ImageBuilds
  /** The executor's name, and what holds whatever pipelines run, for people. */
  facts(): { readonly executor: string; readonly notices: readonly string[] }
  /** What is known of where user code runs; looks for the engine if it was not there. */
  diagnosis(): Promise<ExecutorFacts>
  /** Begins to run what is due, once the API can be reached. */
  start(): void
}

export type ExecutorFacts = Pick<
  DiagnosisFacts,
  'isolation' | 'processNotices' | 'bounds' | 'engine'
>

interface ProcessingPorts {
  readonly directory: DataDirectory
  readonly triggers: Triggers
  readonly versioning: Versioning
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly trees: FileTrees
  readonly leases: Leases
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly programPath?: string
  readonly exports: OutputExports
  readonly apiAddress: () => string | undefined
  readonly executors?: ExecutorsConfig
}

export async function openProcessing(ports: ProcessingPorts): Promise<OpenProcessing> {
  await using opened = new AsyncDisposableStack()
  const { chunks, directory, log } = ports
  const { executor, processes } = await openExecutors(ports)
  opened.use(executor)
  const processing = createProcessing({
    ...ports,
    maps: new ProllyMaps(chunks),
    workers: new SlotWorkers({
      ...ports,
      executor,
      inputCache: {
        directory: join(directory.scratch, 'inputs'),
        bytesMax: await cacheBytesFor(directory.scratch),
      },
    }),
    log: { error: (text, cause) => log.error(text, cause) },
    defaultSlotCount: availableParallelism(),
    retryPauseMs,
  })
  opened.use(processing.scheduler)
  opened.use(processing.ticker)
  const held = opened.move()
  return {
    ...processing,
    images: executor,
    facts: () => ({ executor: executor.name, notices: executor.notices(noTransform) }),
    async diagnosis() {
      await executor.look()
      return {
        isolation: processes.isolation,
        processNotices: processes.notices(noTransform),
        bounds: processes.holds,
        engine: executor.engine,
      }
    },
    start() {
      processing.scheduler.start()
      processing.ticker.start()
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Of the disk, what inputs that were written for one datum may keep for others. */
async function cacheBytesFor(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return Math.min(inputCacheBytesMax, bavail * bsize * inputCachePart)
}

async function openExecutors(
  ports: ProcessingPorts,
): Promise<{ readonly executor: ChoosingExecutor; readonly processes: ProcessExecutor }> {
  const { directory, clock, random, executors } = ports
  const processes = await openProcesses(ports)
  const openContainers =
    executors === undefined || executors.engineSockets.length === 0
      ? undefined
      : () =>
          openContainerExecutor({
            ...executors,
            directory: join(directory.scratch, 'containers'),
            storeId: directory.store.id,
            pullSecrets: noPullSecrets,
            clock,
            random,
          })
  const choice = executors?.choice ?? 'process'
  const executor = await ChoosingExecutor.open({
    choice,
    process: processes,
    openContainers,
    clock,
  })
  return { executor, processes }
}

async function openProcesses(ports: ProcessingPorts): Promise<ProcessExecutor> {
  const { directory, clock, random, programPath } = ports
  const slots = join(directory.scratch, 'slots')
  return await openProcessExecutor({
    directory: slots,
    hiddenDirectories: [directory.root],
    clock,
    random,
    ...(programPath !== undefined && { programPath: `${programPath}:${usualProgramPath}` }),
  }).catch((error: unknown) => {
    throw directoryError(error, `sandbox directory ${slots}`, slots)
  })
}

/** Until secrets are kept here. */
async function noPullSecrets(names: readonly string[]): Promise<readonly string[]> {
  throw new FailedPreconditionError(
    `transform.image_pull_secrets names ${names.join(', ')}, and this server keeps no secrets: have the engine log in (docker login), pull the image by hand, or leave the secrets out`,
  )
}

/** Asks an executor for notices that hold whatever it runs. */
const noTransform = {
  image: '',
  command: [],
  stdinLines: [],
  environment: {},
  acceptedReturnCodes: [],
}
