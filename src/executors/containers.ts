import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

import type { Clock } from '../base/clock.ts'
import { assert, CancelledError, DomainError, FailedPreconditionError } from '../base/errors.ts'
import { newHexId, type Random } from '../base/random.ts'
import {
  type Executor,
  noSecrets,
  type Slot,
  type SlotBounds,
  type SlotSecrets,
  type Transform,
} from '../pipelines/executor.ts'
import type { ImageBuild, ImageBuilds } from '../pipelines/image-builds.ts'
import { DiskWatch, reservedPartOf } from './process/disk-watch.ts'
import { ProcessWatch } from './process/process-watch.ts'
import { requireAssignable } from './process/environment.ts'
import { secretScript } from './process/secret-files.ts'
import { ContainerSlot } from './containers/container-slot.ts'
import { containerSettings, limitNotices } from './containers/container-settings.ts'
import { Engine, type EngineFacts, type EngineImage } from './containers/engine.ts'
import { buildImage } from './containers/image-building.ts'
import { Images, type PullPolicy, type PullSecrets } from './containers/images.ts'
import {
  removeSecrets,
  removeSecretsOf,
  secretsRoot,
  writeSecrets,
} from './containers/secret-directories.ts'
import { type ForeignFilesPorts, openForeignFiles } from './containers/foreign-files.ts'
import {
  makeSlotFiles,
  type OpenFiles,
  removeSlotFiles,
  type SlotFiles,
} from './containers/slot-files.ts'
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
  /** So much of the disk is left to the server; unset: a part of what it has. */
  readonly reservedDiskBytes?: number
}

interface OpenedOptions extends ContainerExecutorOptions {
  readonly reservedDiskBytes: number
  /** What could not be removed of earlier slots, for people. */
  readonly left: readonly string[]
}

interface SlotRequest {
  readonly transform: Transform
  readonly secrets: SlotSecrets
  readonly signal: AbortSignal
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

const outputBytesMaxDefault = 512 * 1024
const processCountMaxDefault = 4096
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
  const engine = new Engine(socketPath)
  const facts = await engine.facts()
  for (const id of await engine.containersWith(`${storeLabel}=${options.storeId}`)) {
    await engine.removeContainer(id)
  }
  if (!existsSync(options.directory)) mkdirSync(options.directory, { mode: 0o700 })
  const directory = realpathSync(options.directory)
  const left = await removeLeftSlots(directory, {
    engine,
    labels: { [storeLabel]: options.storeId },
    isRootless: facts.isRootless,
  })
  removeSecrets(secretsRoot(options.storeId))
  const reservedDiskBytes = options.reservedDiskBytes ?? (await reservedPartOf(directory))
  return new ContainerExecutor({ ...options, directory, reservedDiskBytes, left }, engine, facts)
}

/** Removes what a crash left, and tells of what has to stay: that is no reason to run nothing. */
async function removeLeftSlots(
  directory: string,
  ports: ForeignFilesPorts,
): Promise<readonly string[]> {
  const left: string[] = []
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    try {
      await removeSlotFiles(path, (files) => openForeignFiles(ports, files))
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      left.push(
        `${path}, which an earlier container left, cannot be removed; do it as root: ${reason}`,
      )
    }
  }
  return left
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
  readonly #slots = new Map<string, Slot>()
  /** Ids of images that were found to have no shell. */
  readonly #withoutShell = new Set<string>()
  /** By image: a path in it that code has changed. */
  readonly #changed = new Map<string, string>()

  /** Use `openContainerExecutor`. */
  constructor(options: OpenedOptions, engine: Engine, facts: EngineFacts) {
    this.#options = options
    this.#engine = engine
    this.#facts = facts
    const datumBytesMax = options.bounds?.diskBytesMax ?? Number.POSITIVE_INFINITY
    const bounds = { datumBytesMax, reservedBytes: options.reservedDiskBytes }
    this.#diskWatch = new DiskWatch(options.directory, bounds, options.clock)
    this.#processWatch = new ProcessWatch(options.clock, options.bounds?.refusedMsMax)
    this.#images = new Images({ ...options, engine })
    this.engineTitle = `${facts.title} at ${engine.address}`
  }

  placeOf(): string {
    return `container (${this.#facts.title})`
  }

  notices(transform: Transform): readonly string[] {
    const notices = [...limitNotices(transform, this.#facts), ...this.#options.left]
    const changed = this.#changed.get(transform.image)
    if (changed !== undefined) {
      notices.push(
        `the code changes files of its container (${changed}), so that each datum needs a new container: write to /tmp, which every datum finds empty, to be faster`,
      )
    }
    return notices
  }

  async openSlot(
    transform: Transform,
    signal: AbortSignal,
    secrets: SlotSecrets = noSecrets,
  ): Promise<Slot> {
    requireAssignable(secrets)
    const options = { transform, secrets, signal }
    if (transform.image === '') {
      throw new FailedPreconditionError(
        'the pipeline names no image, and the container executor needs one: set "transform.image"',
      )
    }
    const image = await this.#images.get(transform.image, transform.imagePullSecrets ?? [], signal)
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
    return await buildImage(this.#engine, build, this.#options.random, signal)
  }

  /** Ends all slots. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#slots.values(), (slot) => slot[Symbol.asyncDispose]()))
    await this.#diskWatch[Symbol.asyncDispose]()
    await this.#processWatch[Symbol.asyncDispose]()
    removeSecrets(secretsRoot(this.#options.storeId))
  }

  get #labels(): Readonly<Record<string, string>> {
    return { [storeLabel]: this.#options.storeId }
  }

  get #foreignFiles(): ForeignFilesPorts {
    return { engine: this.#engine, labels: this.#labels, isRootless: this.#facts.isRootless }
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
    const { directory, clock, random, network, storeId } = this.#options
    const openFiles: OpenFiles = (of) => openForeignFiles(this.#foreignFiles, of)
    const id = newHexId(random)
    const path = join(directory, id)
    const root = secretsRoot(storeId)
    const processCountMax = this.#options.bounds?.processCountMax ?? processCountMaxDefault
    const hasOtherUsers = process.geteuid?.() !== 0 || this.#facts.mapsUsers
    let files: SlotFiles | undefined
    try {
      files = await makeSlotFiles({ path, transform, imageId: image.id, hasOtherUsers })
      if (needsShell) addStaticShell(files, this.#staticShell)
      const { isForRoot } = image
      const secretDirectories = writeSecrets(root, id, { secrets, isForRoot })
      const settings = containerSettings({
        transform,
        image,
        files,
        facts: this.#facts,
        labels: this.#labels,
        network,
        shell: needsShell ? staticShellName : undefined,
        processCountMax,
        secretDirectories,
      })
      const slot = await ContainerSlot.open(
        {
          engine: this.#engine,
          image,
          transform,
          settings,
          secrets,
          secretScript: secretScript(secrets),
          diskWatch: this.#diskWatch,
          processWatch: this.#processWatch,
          files,
          openFiles,
          processCountMax,
          outputBytesMax: this.#options.outputBytesMax ?? outputBytesMaxDefault,
          clock,
          random,
          onRootChanged: (changed) => this.#changed.set(transform.image, changed),
          onDisposed: () => {
            removeSecretsOf(root, id)
            this.#slots.delete(path)
          },
        },
        signal,
      )
      this.#slots.set(path, slot)
      return slot
    } catch (error) {
      removeSecretsOf(root, id)
      await removeSlotFiles(path, openFiles)
      throw error
    }
  }
}
