import { availableParallelism, totalmem } from 'node:os'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, waitAtMost } from '../base/clock.ts'
import { assert, DomainError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Turns } from '../base/turns.ts'
import type { CloudEnvironment } from '../clouds/bucket.ts'
import type { Database } from '../database/database.ts'
import type { OutputExports } from '../pipelines/output-exports.ts'
import { ChoosingExecutor } from '../executors/choosing.ts'
import type { ContainerExecutor, PullSecrets } from '../executors/containers.ts'
import { requireSocket } from '../executors/engine-places.ts'
import { allowEpollWatches } from '../executors/epoll-watches.ts'
import { engineVariables, secretsRoot } from '../executors/engine-storage.ts'
import {
  openProcessExecutor,
  type ProcessExecutor,
  usualProgramPath,
} from '../executors/process.ts'
import type { ImageBuilds } from '../pipelines/image-builds.ts'
import type { SlotBounds } from '../pipelines/executor.ts'
import { createProcessing, type Processing } from '../pipelines/processing.ts'
import type { Secrets } from '../pipelines/secrets.ts'
import type { Triggers } from '../pipelines/triggers.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { Contents } from '../storage/contents.ts'
import { directoryError } from '../storage/file-errors.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { Leases } from '../storage/leases.ts'
import { openFilesLimit } from '../storage/open-files.ts'
import type { ProllyMaps } from '../storage/prolly-map.ts'
import type { Spools } from '../storage/spool.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { SlotWorkers } from '../workers/slot-workers.ts'
import type { DiagnosisFacts } from './diagnosis.ts'
import type { ExecutorsConfig } from './executors-config.ts'
import type { DataDirectory } from './data-directory.ts'
import type { Log } from './log.ts'
import { noClouds } from './ports.ts'
import { SecretKeyFile } from './secret-key-file.ts'
import { ServiceForwarding } from './service-forwarding.ts'

/** As in 1.5, give or take a half. */
const retryPauseMs = 500
/** Who asks for a diagnosis waits 15 seconds for all of it, and hears of a sandbox that takes long after 5. */
const diagnosisMsMax = 7000
const inputCacheBytesMax = 8 * 1024 ** 3
const inputCachePart = 0.1

/** Pipelines, with user code on this machine. Disposing stops what runs. */
export interface OpenProcessing extends Processing, AsyncDisposable {
  readonly images: ImageBuilds
  /** The executor's name, and what holds whatever pipelines run, for people. */
  facts(): Promise<{ readonly executor: string; readonly notices: readonly string[] }>
  /** What is known of where user code runs; has the engine start a container. */
  diagnosis(): Promise<ExecutorFacts>
  /** Begins to run what is due, once the API can be reached. */
  start(): void
}

export type ExecutorFacts = Pick<
  DiagnosisFacts,
  'isolation' | 'isolationAdvice' | 'processNotices' | 'leftovers' | 'bounds' | 'engine'
>

interface ProcessingPorts {
  readonly directory: DataDirectory
  readonly triggers: Triggers
  readonly versioning: Versioning
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly trees: FileTrees
  readonly maps: ProllyMaps
  readonly turns: Turns
  readonly spools: Spools
  readonly leases: Leases
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly programPath?: string
  readonly secretKeysFile?: string
  /** Of the server's, besides the data directory, that user code must not see. */
  readonly hiddenPaths: readonly string[]
  readonly clouds?: CloudEnvironment
  /** At which the server listens. */
  readonly host: string
  readonly datumBounds?: Partial<SlotBounds>
  readonly exports: OutputExports
  readonly apiAddress: () => string | undefined
  readonly ownPorts: () => ReadonlySet<number>
  readonly executors?: ExecutorsConfig
}

export async function openProcessing(ports: ProcessingPorts): Promise<OpenProcessing> {
  await using opened = new AsyncDisposableStack()
  const { directory, log } = ports
  const later: LaterSecrets = {}
  const { executor, processes } = await openExecutors(ports, later)
  opened.use(executor)
  for (const text of [...processes.leftovers, ...executor.containerLeftovers]) log.warning(text)
  // Else there is nothing else that bounds them.
  if (processes.holds.has('memory')) leaveEpollWatches(log)
  const secretKeys = await openSecretKeys(ports)
  const processing = createProcessing({
    ...ports,
    secretKeys,
    serviceDoors: new ServiceForwarding(ports.host, ports.ownPorts),
    workers: new SlotWorkers({
      ...ports,
      executor,
      outputBytesMax: ports.datumBounds?.diskBytesMax,
      inputCache: {
        directory: join(directory.scratch, 'inputs'),
        bytesMax: await cacheBytesFor(directory.scratch),
      },
    }),
    log: { error: (text, cause) => log.error(text, cause) },
    processorCount: availableParallelism(),
    retryPauseMs,
  })
  await sealSecretsAnew(processing, log)
  later.secrets = processing.secrets
  opened.use(processing.scheduler)
  opened.use(processing.ticker)
  const held = opened.move()
  return {
    ...processing,
    images: executor,
    async facts() {
      await executor.look()
      return { executor: executor.name, notices: executor.notices(noTransform) }
    },
    async diagnosis() {
      const [engine, failures] = await Promise.all([
        diagnoseEngine(executor, directory.scratch),
        lookFailures(processes, { scratch: directory.scratch, clock: ports.clock }),
      ])
      return {
        isolation: processes.isolation,
        isolationAdvice: processes.advice,
        processNotices: [...failures, ...processes.isolationNotices],
        leftovers: [...processes.leftovers, ...executor.containerLeftovers],
        bounds: processes.holds,
        engine,
      }
    },
    start() {
      processing.scheduler.start()
      processing.ticker.start()
    },
    [Symbol.asyncDispose]: () => {
      executor.leave()
      return held.disposeAsync()
    },
  }
}

function leaveEpollWatches(log: Log): void {
  const raised = allowEpollWatches(totalmem())
  if (raised === undefined) return
  log.info('fs.epoll.max_user_watches was raised, so that memory bounds what user code takes', {
    ...raised,
  })
}

/** What keeps the server from starting a container by itself, such as a full disk, is a finding, too. */
async function diagnoseEngine(
  executor: ChoosingExecutor,
  scratch: string,
): Promise<DiagnosisFacts['engine']> {
  try {
    return await executor.diagnoseEngine()
  } catch (error) {
    const failure = directoryError(error, `container directory in ${scratch}`, scratch)
    if (!(failure instanceof DomainError)) throw error
    const trial = { kind: 'refused', reason: failure.message } as const
    return { isOpen: false, isWanted: true, text: executor.engineText, trial }
  }
}

/** What keeps the server from looking at what its machine allows, such as a full disk, is a finding, too. */
async function lookFailures(
  processes: ProcessExecutor,
  { scratch, clock }: { readonly scratch: string; readonly clock: Clock },
): Promise<readonly string[]> {
  try {
    await waitAtMost(clock, diagnosisMsMax, processes.lookWhole())
    return []
  } catch (error) {
    const failure = directoryError(error, `sandbox directory in ${scratch}`, scratch)
    if (!(failure instanceof DomainError)) throw error
    return [failure.message]
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

interface Executors {
  readonly executor: ChoosingExecutor
  readonly processes: ProcessExecutor
}

async function openExecutors(ports: ProcessingPorts, later: LaterSecrets): Promise<Executors> {
  const { directory, clock, random, executors, datumBounds } = ports
  const storage: EngineStorage = { ofEngine: [] }
  const processes = await openProcesses(ports, () => storage.ofEngine)
  const openContainers =
    executors === undefined || executors.engineSockets.length === 0
      ? undefined
      : async (): Promise<ContainerExecutor> => {
          await requireSocket(executors.engineSockets)
          const { openContainerExecutor } = await import('../executors/containers.ts')
          const containers = join(directory.scratch, 'containers')
          const opened = await openContainerExecutor({
            ...executors,
            directory: containers,
            storeId: directory.store.id,
            pullSecrets: pullSecretsOf(later),
            ...(datumBounds !== undefined && { bounds: datumBounds }),
            clock,
            random,
          }).catch((error: unknown) => {
            throw directoryError(error, `container directory ${containers}`, containers)
          })
          storage.ofEngine = opened.storage
          return opened
        }
  const choice = executors?.choice ?? 'process'
  const executor = await ChoosingExecutor.open({
    choice,
    process: processes,
    openContainers,
    clock,
  })
  return { executor, processes }
}

async function openProcesses(
  ports: ProcessingPorts,
  storageNow: () => readonly string[],
): Promise<ProcessExecutor> {
  const { directory, hiddenPaths, clock, random, log, programPath, datumBounds, executors } = ports
  const slots = join(directory.scratch, 'slots')
  return await openProcessExecutor({
    directory: slots,
    hiddenDirectories: [directory.root],
    // The secrets of containers are not in the data directory, for they are in memory.
    hiddenPaths: [...hiddenPaths, secretsRoot(directory.store.id)],
    engineSockets: executors?.enginePlaces ?? [],
    engineStorage: storageNow,
    engineVariables: engineVariables((ports.clouds ?? noClouds).variables),
    ...(executors?.sandbox === 'off' && { isolation: 'none' }),
    openFilesMax: openFilesLimit(),
    clock,
    random,
    onWarning: (text) => log.warning(text),
    ...(datumBounds !== undefined && { bounds: datumBounds }),
    ...(programPath !== undefined && { programPath: `${programPath}:${usualProgramPath}` }),
  }).catch((error: unknown) => {
    throw directoryError(error, `sandbox directory ${slots}`, slots)
  })
}

/** The documents with logins in secrets, known once there are secrets. */
function pullSecretsOf(later: LaterSecrets): PullSecrets {
  return async (names) => {
    const { secrets } = later
    assert(secrets !== undefined, 'images are pulled for jobs, which start when all is open')
    const found = await Promise.all(names.map(async (name) => await secrets.texts(name)))
    return found.flatMap((entries) => Object.values(entries))
  }
}

/** Where the engine in use keeps what code writes in containers, once it has answered. */
interface EngineStorage {
  ofEngine: readonly string[]
}

interface LaterSecrets {
  secrets?: Secrets
}

/** Asks an executor for notices that hold whatever it runs. */
const noTransform = {
  image: '',
  command: [],
  stdinLines: [],
  environment: {},
  acceptedReturnCodes: [],
}
