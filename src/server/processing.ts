import { availableParallelism } from 'node:os'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { DomainError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Database } from '../database/database.ts'
import type { OutputExports } from '../pipelines/output-exports.ts'
import { openProcessExecutor, usualProgramPath } from '../executors/process.ts'
import type { SlotBounds } from '../pipelines/executor.ts'
import { createProcessing, type Processing } from '../pipelines/processing.ts'
import type { Triggers } from '../pipelines/triggers.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { Contents } from '../storage/contents.ts'
import { directoryError } from '../storage/file-errors.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { Leases } from '../storage/leases.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import type { Spools } from '../storage/spool.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { SlotWorkers } from '../workers/slot-workers.ts'
import type { DataDirectory } from './data-directory.ts'
import type { Log } from './log.ts'
import { SecretKeyFile } from './secret-key-file.ts'
import { ServiceForwarding } from './service-forwarding.ts'

/** As in 1.5, give or take a half. */
const retryPauseMs = 500
const inputCacheBytesMax = 8 * 1024 ** 3
const inputCachePart = 0.1

/** Pipelines, with user code in processes of this machine. Disposing stops what runs. */
export interface OpenProcessing extends Processing, AsyncDisposable {
  /** The executor's name. */
  readonly executor: string
  readonly notices: readonly string[]
  /** Begins to run what is due, once the API can be reached. */
  start(): void
}

export async function openProcessing(ports: {
  readonly directory: DataDirectory
  readonly triggers: Triggers
  readonly versioning: Versioning
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly trees: FileTrees
  readonly spools: Spools
  readonly leases: Leases
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly programPath?: string
  readonly secretKeysFile?: string
  /** At which the server listens. */
  readonly host: string
  readonly datumBounds?: Partial<SlotBounds>
  readonly exports: OutputExports
  readonly apiAddress: () => string | undefined
}): Promise<OpenProcessing> {
  await using opened = new AsyncDisposableStack()
  const { directory, chunks, clock, random, log, programPath, datumBounds } = ports
  const slots = join(directory.scratch, 'slots')
  const executor = opened.use(
    await openProcessExecutor({
      directory: slots,
      hiddenDirectories: [directory.root],
      clock,
      random,
      ...(datumBounds !== undefined && { bounds: datumBounds }),
      ...(programPath !== undefined && { programPath: `${programPath}:${usualProgramPath}` }),
    }).catch((error: unknown) => {
      throw directoryError(error, `sandbox directory ${slots}`, slots)
    }),
  )
  const secretKeys = await openSecretKeys(ports)
  const processing = createProcessing({
    ...ports,
    secretKeys,
    serviceDoors: new ServiceForwarding(ports.host),
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
  await sealSecretsAnew(processing, log)
  opened.use(processing.scheduler)
  opened.use(processing.ticker)
  const held = opened.move()
  return {
    ...processing,
    executor: executor.name,
    notices: executor.notices(noTransform),
    start() {
      processing.scheduler.start()
      processing.ticker.start()
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** In the data directory, unless somebody says where. */
async function openSecretKeys({
  directory,
  random,
  secretKeysFile,
}: {
  readonly directory: DataDirectory
  readonly random: Random
  readonly secretKeysFile?: string
}): Promise<SecretKeyFile> {
  if (secretKeysFile === undefined) {
    return new SecretKeyFile(directory.secretKeys, { isMade: true, random })
  }
  const file = new SecretKeyFile(secretKeysFile, { isMade: false, random })
  await file.requireSound()
  return file
}

/** So that a key that is not the first any more can be removed after a start. */
async function sealSecretsAnew({ secrets }: Processing, log: Log): Promise<void> {
  try {
    const { count, refusals } = await secrets.sealAnew()
    if (count > 0) log.info('secrets were sealed anew, with the first key', { count })
    for (const refusal of refusals) log.warning(refusal)
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    // What needs no secrets is served all the same.
    log.warning(error.message)
  }
}

/** Of the disk, what inputs that were written for one datum may keep for others. */
async function cacheBytesFor(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return Math.min(inputCacheBytesMax, bavail * bsize * inputCachePart)
}

/** Asks an executor for notices that hold whatever it runs. */
const noTransform = {
  image: '',
  command: [],
  stdinLines: [],
  environment: {},
  acceptedReturnCodes: [],
}
