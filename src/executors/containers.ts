import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

import { type Clock, waitAtMost } from '../base/clock.ts'
import {
  assert,
  CancelledError,
  DomainError,
  FailedPreconditionError,
  UnavailableError,
} from '../base/errors.ts'
import { newHexId, type Random } from '../base/random.ts'
import {
  type Executor,
  noSecrets,
  type OnWait,
  type Slot,
  type SlotBounds,
  type SlotSecrets,
  type Transform,
} from '../pipelines/executor.ts'
import type { ImageBuild, ImageBuilds } from '../pipelines/image-builds.ts'
import { programSizeFault } from '../pipelines/program-sizes.ts'
import { DiskWatch, reservedPartOf } from './process/disk-watch.ts'
import { ProcessWatch } from './process/process-watch.ts'
import { requireAssignable } from './process/environment.ts'
import { StartLooks } from './process/start-looks.ts'
import { secretScript } from './process/secret-files.ts'
import { ContainerSlot } from './containers/container-slot.ts'
import {
  type ContainerSettings,
  containerSettings,
  limitNotices,
} from './containers/container-settings.ts'
import { guardNotices, guardOptions } from './containers/call-profile.ts'
import { Engine, type EngineFacts, type EngineImage } from './containers/engine.ts'
import { type Leftover, Leftovers } from './leftovers.ts'
import { MadeContainers } from './containers/made-containers.ts'
import { removeBuildGroups } from './containers/build-group.ts'
import { buildImage } from './containers/image-building.ts'
import { Images, type PullPolicy, type PullSecrets } from './containers/images.ts'
import { removeSecrets, removeSecretsOf, writeSecrets } from './containers/secret-directories.ts'
import { secretsRoot } from './engine-storage.ts'
import { type ForeignFilesPorts, openForeignFiles } from './containers/foreign-files.ts'
import {
  makeSlotFiles,
  type OpenFiles,
  removeSlotFiles,
  type SlotFiles,
} from './containers/slot-files.ts'
import type { RootChange } from './containers/root-state.ts'
import { NoShellError } from './containers/starting.ts'
import { presentSocket } from './engine-places.ts'
import { addStaticShell, findStaticShell, staticShellName } from './containers/static-shell.ts'

export type { PullPolicy, PullSecrets } from './containers/images.ts'

export interface ContainerExecutorOptions {
  /** Scratch space, this executor's alone: made if need be in one that exists. */
  readonly directory: string
  /** Where the engine's socket may be: the first path that there is counts. */
  readonly engineSockets: readonly string[]
  /** Tells the containers of this server from those of others. */
  readonly storeId: string
  readonly pullPolicy: PullPolicy
  readonly pullSecrets: PullSecrets
  /** As engines name them: `host`, `bridge`, `none`, or one that was made. */
  readonly network: string
  readonly clock: Clock
  readonly random: Random
  /** So much of each output stream is looked at line by line; of what is more, the last lines. */
  readonly outputBytesMax?: number
  /** A static busybox for images without a shell; one of the machine's where it is not said. */
  readonly staticShell?: string | false
  readonly bounds?: Partial<SlotBounds>
  /** A build that takes longer is ended. */
  readonly buildMsMax?: number
  /** So much of the disk is left to the server; unset: a part of what it has. */
  readonly reservedDiskBytes?: number
}

interface OpenedOptions extends ContainerExecutorOptions {
  readonly reservedDiskBytes: number
  readonly leftovers: Leftovers
  readonly foreignFiles: ForeignFilesPorts
}

interface SlotRequest {
  readonly transform: Transform
  readonly secrets: SlotSecrets
  readonly signal: AbortSignal
}

interface SlotPlan {
  readonly id: string
  readonly path: string
  readonly transform: Transform
  readonly secrets: SlotSecrets
  readonly image: EngineImage
  readonly needsShell: boolean
}

interface PreparedSlot {
  readonly files: SlotFiles
  readonly settings: ContainerSettings
}

/** Whether a container could be started. */
export type StartTrial =
  | { readonly kind: 'started' }
  | { readonly kind: 'untried'; readonly why: string; readonly advice: string }
  | { readonly kind: 'refused'; readonly reason: string }

const triedImageCountMax = 3
const trialTransform: Omit<Transform, 'image'> = {
  command: ['true'],
  stdinLines: [],
  environment: {},
  acceptedReturnCodes: [],
}

const microsPerMilli = 1000
const outputBytesMaxDefault = 512 * 1024
const processCountMaxDefault = 4096
/** Until a crash is cleared up after, for which an ordinary user needs containers, and which then goes on. */
const clearMsMax = 30_000
const storeLabel = 'pachyderm.store'

/**
 * Finds the engine, and removes what a crash of this server left there and here.
 *
 * @throws {UnavailableError} with advice when no engine answers.
 */
export async function openContainerExecutor(
  options: ContainerExecutorOptions,
): Promise<ContainerExecutor> {
  const socketPath = presentSocket(options.engineSockets)
  assert(socketPath !== undefined, 'an engine is looked for somewhere')
  const engine = new Engine(socketPath, options.clock)
  const facts = await engine.facts()
  for (const id of await engine.containersWith(`${storeLabel}=${options.storeId}`)) {
    await engine.removeContainer(id)
  }
  await removeBuildGroups(buildGroupsOf(options.storeId), options.clock)
  if (!existsSync(options.directory)) mkdirSync(options.directory, { mode: 0o700 })
  const directory = realpathSync(options.directory)
  removeSecrets(secretsRoot(options.storeId))
  const reservedDiskBytes = options.reservedDiskBytes ?? (await reservedPartOf(directory))
  await using opened = new AsyncDisposableStack()
  const leftovers = opened.use(new Leftovers(options.clock))
  const foreignFiles: ForeignFilesPorts = {
    engine,
    containers: new MadeContainers({ ...options, engine, leftovers }),
    labels: { [storeLabel]: options.storeId },
    isRootless: facts.isRootless,
    namespaceGuard: facts.namespaceGuard,
  }
  const left = readdirSync(directory).map((name) =>
    filesLeftover(join(directory, name), foreignFiles),
  )
  const clearing = Promise.all(left.map(async (each) => await leftovers.remove(each)))
  await waitAtMost(
    options.clock,
    clearMsMax,
    clearing.then(() => {}),
  )
  opened.move()
  return new ContainerExecutor(
    { ...options, directory, reservedDiskBytes, leftovers, foreignFiles },
    engine,
    facts,
  )
}

/** The directory of a slot, or what a crash left of one. */
function filesLeftover(path: string, ports: ForeignFilesPorts): Leftover {
  return {
    what: path,
    async remove() {
      await removeSlotFiles(path, (files) => openForeignFiles(ports, files))
      return true
    },
  }
}

/** How the control groups of a server's builds begin. */
function buildGroupsOf(storeId: string): string {
  return `pachyderm-build-${storeId}-`
}

/** The same for a pipeline's command and its error command. */
function ownerOf({ pipeline, image, environment }: Transform): string {
  return JSON.stringify([pipeline, image, environment])
}

function changeNotice({ path, isSeen }: RootChange, { title }: EngineFacts): string {
  return isSeen
    ? `the code changes files of its container (${path}), so that each datum needs a new container: write to /tmp, which every datum finds empty, to be faster`
    : `the code could change ${path} of its container, at which this server cannot look, so that each datum needs a new container: run pachd as the user that ${title} is, or as root, to be faster`
}

/** Runs user code in containers of the pipeline's image, one warm container for each slot. */
export class ContainerExecutor implements Executor, ImageBuilds {
  readonly name = 'container'
  /** For people: the engine, its version and its address. */
  readonly engineTitle: string
  readonly #options: OpenedOptions
  readonly #engine: Engine
  readonly #facts: EngineFacts
  readonly #images: Images
  readonly #diskWatch: DiskWatch
  readonly #processWatch: ProcessWatch
  readonly #startLooks: StartLooks
  readonly #slots = new Map<string, Slot>()
  /** Directories of slots, those that are being opened and closed, too. */
  readonly #inUse = new Set<string>()
  /** Ids of images that were found to have no shell. */
  readonly #withoutShell = new Set<string>()
  /** By pipeline, and what its containers are made of: why they are replaced. */
  readonly #changed = new Map<string, RootChange>()

  /** Use `openContainerExecutor`. */
  constructor(options: OpenedOptions, engine: Engine, facts: EngineFacts) {
    this.#options = options
    this.#engine = engine
    this.#facts = facts
    const datumBytesMax = options.bounds?.diskBytesMax ?? Number.POSITIVE_INFINITY
    const bounds = { datumBytesMax, reservedBytes: options.reservedDiskBytes }
    this.#diskWatch = new DiskWatch(options.directory, bounds, options.clock)
    this.#processWatch = new ProcessWatch(options.clock, options.bounds?.refusedMsMax)
    this.#startLooks = new StartLooks(options.clock)
    this.#images = new Images({ ...options, engine })
    this.engineTitle = `${facts.title} at ${engine.address}`
  }

  /** Directories of the machine in which it keeps what code writes in containers. */
  get storage(): readonly string[] {
    return this.#facts.storage
  }

  placeOf(): string {
    return `container (${this.#facts.title})`
  }

  /** What holds was found out when this opened. */
  async look(): Promise<void> {}

  notices(transform: Transform): readonly string[] {
    const notices = [
      ...guardNotices(this.#facts.namespaceGuard),
      ...limitNotices(transform, this.#facts),
      ...this.leftovers,
    ]
    const changed = this.#changed.get(ownerOf(transform))
    if (changed !== undefined) notices.push(changeNotice(changed, this.#facts))
    const since = this.#images.pulledSince(transform.image)
    if (since !== undefined) {
      const text = new Date(since / microsPerMilli).toISOString()
      notices.push(`image ${transform.image} is being pulled since ${text}, and jobs wait for it`)
    }
    return notices
  }

  /** What of slots could not be removed, for people. */
  get leftovers(): readonly string[] {
    return this.#options.leftovers.texts
  }

  async openSlot(
    transform: Transform,
    signal: AbortSignal,
    secrets: SlotSecrets = noSecrets,
    onWait: OnWait = () => {},
  ): Promise<Slot> {
    requireAssignable(secrets)
    const sizeFault = programSizeFault(transform)
    if (sizeFault !== undefined) throw new FailedPreconditionError(sizeFault)
    const options = { transform, secrets, signal }
    if (transform.image === '') {
      throw new FailedPreconditionError(
        'the pipeline names no image, and the container executor needs one: set "transform.image"',
      )
    }
    const secretNames = transform.imagePullSecrets ?? []
    const image = await this.#images.get(transform.image, secretNames, { signal, onWait })
    onWait('starting a container')
    return await this.#openWith(image, options)
  }

  /**
   * Starts a container of an image that the engine has, to see whether any can be.
   *
   * @throws {CancelledError} when `signal` aborts.
   */
  async tryStart(signal: AbortSignal): Promise<StartTrial> {
    const ids = (await this.#engine.imageIds()).slice(0, triedImageCountMax)
    let reason: string | undefined
    for (const id of ids) {
      try {
        const image = await this.#engine.image(id)
        if (image === undefined) continue
        const transform = { ...trialTransform, image: id }
        const slot = await this.#openWith(image, { transform, secrets: noSecrets, signal })
        await slot[Symbol.asyncDispose]()
        return { kind: 'started' }
      } catch (error) {
        if (!(error instanceof DomainError)) throw error
        if (error instanceof CancelledError) throw error
        // What is wrong with one image says nothing about others.
        if (!(error instanceof NoShellError)) reason ??= error.message
      }
    }
    if (reason !== undefined) return { kind: 'refused', reason }
    return {
      kind: 'untried',
      why: 'it has no image with a shell to try it with',
      advice: 'pull or build any image, and ask again',
    }
  }

  async #openWith(image: EngineImage, options: SlotRequest): Promise<Slot> {
    if (this.#withoutShell.has(image.id)) return await this.#open(options, image, true)
    try {
      return await this.#open(options, image, false)
    } catch (error) {
      if (!(error instanceof NoShellError) || this.#staticShell === undefined) throw error
      this.#withoutShell.add(image.id)
      return await this.#open(options, image, true)
    }
  }

  async buildImage(build: ImageBuild, signal: AbortSignal): Promise<string> {
    const { bounds, storeId } = this.#options
    const ports = {
      ...this.#options,
      engine: this.#engine,
      facts: this.#facts,
      processCountMax: bounds?.processCountMax ?? processCountMaxDefault,
      groupPrefix: buildGroupsOf(storeId),
      directory: join(this.#options.directory, newHexId(this.#options.random)),
    }
    return await buildImage(ports, build, signal)
  }

  /** Before all ends: the engine is not waited for in vain. */
  leave(): void {
    this.#engine.leave()
  }

  /** Ends all slots. Containers that the engine does not end now end by themselves. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.leave()
    using _ = this.#engine
    // Slots that are in use wait for what it sees.
    this.#startLooks[Symbol.dispose]()
    const ends = await Promise.allSettled([
      ...Array.from(this.#slots.values(), (slot) => slot[Symbol.asyncDispose]()),
      // The next server finds them by their label.
      this.#options.leftovers[Symbol.asyncDispose](),
    ])
    await this.#diskWatch[Symbol.asyncDispose]()
    await this.#processWatch[Symbol.asyncDispose]()
    removeSecrets(secretsRoot(this.#options.storeId))
    for (const end of ends) {
      if (end.status === 'rejected' && !(end.reason instanceof UnavailableError)) throw end.reason
    }
  }

  get #staticShell(): string | undefined {
    const { staticShell = findStaticShell() } = this.#options
    return staticShell === false ? undefined : staticShell
  }

  async #open(
    { transform, secrets, signal }: SlotRequest,
    image: EngineImage,
    needsShell: boolean,
  ): Promise<Slot> {
    const { directory, clock, random, storeId } = this.#options
    const { leftovers, foreignFiles } = this.#options
    const openFiles: OpenFiles = (of) => openForeignFiles(foreignFiles, of)
    const id = newHexId(random)
    const path = join(directory, id)
    const root = secretsRoot(storeId)
    const removeFiles = async (): Promise<void> => {
      removeSecretsOf(root, id)
      await leftovers.remove(filesLeftover(path, foreignFiles))
    }
    const processCountMax = this.#options.bounds?.processCountMax ?? processCountMaxDefault
    this.#inUse.add(path)
    let prepared: PreparedSlot
    try {
      prepared = await this.#prepare({ id, path, transform, secrets, image, needsShell })
    } catch (error) {
      await removeFiles()
      this.#inUse.delete(path)
      throw error
    }
    const slot = await ContainerSlot.open(
      {
        engine: this.#engine,
        containers: foreignFiles.containers,
        image,
        transform,
        ...prepared,
        secrets,
        secretScript: secretScript(secrets),
        diskWatch: this.#diskWatch,
        processWatch: this.#processWatch,
        startLooks: this.#startLooks,
        openFiles,
        removeFiles,
        onRemovedLate: async () => {
          if (!this.#inUse.has(path)) await removeFiles()
        },
        processCountMax,
        outputBytesMax: this.#options.outputBytesMax ?? outputBytesMaxDefault,
        clock,
        random,
        onRootChanged: (changed) => this.#changed.set(ownerOf(transform), changed),
        onDisposed: () => {
          removeSecretsOf(root, id)
          this.#slots.delete(path)
          this.#inUse.delete(path)
        },
      },
      signal,
    )
    this.#slots.set(path, slot)
    // The engine answers.
    leftovers.wake()
    return slot
  }

  /** Writes the files of a slot, and says how its containers are made. */
  async #prepare({
    id,
    path,
    transform,
    secrets,
    image,
    needsShell,
  }: SlotPlan): Promise<PreparedSlot> {
    const { network, storeId, bounds, foreignFiles } = this.#options
    const hasOtherUsers = process.geteuid?.() !== 0 || this.#facts.mapsUsers
    const files = await makeSlotFiles({ path, transform, imageId: image.id, hasOtherUsers })
    if (needsShell) addStaticShell(files, this.#staticShell)
    const { isForRoot } = image
    const settings = containerSettings({
      transform,
      image,
      files,
      facts: this.#facts,
      labels: foreignFiles.labels,
      network,
      shell: needsShell ? staticShellName : undefined,
      processCountMax: bounds?.processCountMax ?? processCountMaxDefault,
      secretDirectories: writeSecrets(secretsRoot(storeId), id, { secrets, isForRoot }),
      guardOptions: guardOptions(this.#facts.namespaceGuard, files.path),
    })
    return { files, settings }
  }
}
