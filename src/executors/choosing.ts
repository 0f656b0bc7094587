import { type Clock, waitAtMost } from '../base/clock.ts'
import { DomainError, FailedPreconditionError, UnavailableError } from '../base/errors.ts'
import type {
  Executor,
  ExecutorName,
  OnWait,
  Slot,
  SlotSecrets,
  Transform,
} from '../pipelines/executor.ts'
import type { ImageBuild, ImageBuilds } from '../pipelines/image-builds.ts'
import type { ContainerExecutor, StartTrial } from './containers.ts'

/** `auto`: a container where the pipeline names an image and an engine answers, else a process. */
export type ExecutorChoice = 'auto' | ExecutorName

export interface ChoosingExecutorOptions {
  /** What the server says. Anything but `auto` holds whatever pipelines ask for. */
  readonly choice: ExecutorChoice
  readonly process: Executor
  /** Undefined where no engine is to be used. @throws {DomainError} when none answers. */
  readonly openContainers: (() => Promise<ContainerExecutor>) | undefined
  readonly clock: Clock
}

/** An engine that does not answer is not asked more often. */
const retryMs = 5000
/** Who asks for a diagnosis does not wait for long. */
const trialMsMax = 8000
const diagnosedLookMsMax = 5000
const tooSlow = {
  why: `it did not start one within ${trialMsMax / 1000} seconds`,
  advice: 'ask again when the machine is less busy, and see what the engine logs',
}

type Containers =
  | { readonly kind: 'open'; readonly executor: ContainerExecutor }
  | { readonly kind: 'refused'; readonly reason: string; readonly atMs: number }

/** What is used, for people, whether pipelines depend on it, and whether it works. */
export interface EngineDiagnosis {
  readonly isOpen: boolean
  readonly isWanted: boolean
  readonly text: string
  readonly trial?: StartTrial
}

/** Runs each pipeline where it should: as processes, or in containers. */
export class ChoosingExecutor implements Executor, ImageBuilds {
  readonly #options: ChoosingExecutorOptions
  #containers: Containers
  #opening: Promise<void> | undefined
  #trying: Promise<StartTrial> | undefined

  /** Looks for the engine. Waits for all the time that one has to answer: until it has, no pipeline knows where it runs. */
  static async open(options: ChoosingExecutorOptions): Promise<ChoosingExecutor> {
    const executor = new ChoosingExecutor(options)
    await executor.#lookForEngine()
    return executor
  }

  private constructor(options: ChoosingExecutorOptions) {
    this.#options = options
    const reason = 'no container engine is used (pachd --container-engine off)'
    this.#containers = { kind: 'refused', reason, atMs: Number.NEGATIVE_INFINITY }
  }

  /** Where a pipeline runs that names an image. */
  get name(): ExecutorName {
    const { choice } = this.#options
    if (choice !== 'auto') return choice
    return this.#containers.kind === 'open' ? 'container' : 'process'
  }

  /** For people: what is used, and why. */
  get engineText(): string {
    const containers = this.#containers
    return containers.kind === 'open' ? containers.executor.engineTitle : containers.reason
  }

  /** What of containers could not be removed, for people. */
  get containerLeftovers(): readonly string[] {
    return this.#containers.kind === 'open' ? this.#containers.executor.leftovers : []
  }

  /** Looks for the engine, and has it start a container. */
  async diagnoseEngine(): Promise<EngineDiagnosis> {
    // One that hangs takes longer than whoever asks waits: what was the matter before is told then.
    await waitAtMost(this.#options.clock, diagnosedLookMsMax, this.#lookForEngine())
    const containers = this.#containers
    const isWanted = this.#options.choice === 'container'
    const found = { isOpen: containers.kind === 'open', isWanted, text: this.engineText }
    if (containers.kind !== 'open') return found
    this.#trying ??= tryStart(containers.executor, this.#options.clock).finally(() => {
      this.#trying = undefined
    })
    return { ...found, trial: await this.#trying }
  }

  /** An engine is not waited for. */
  async look(): Promise<void> {
    this.#lookAgain()
    if (this.#options.choice !== 'container') await this.#options.process.look()
  }

  placeOf(transform: Transform): string {
    if (this.#nameFor(transform) === 'process') return 'process'
    const containers = this.#containers
    return containers.kind === 'open' ? containers.executor.placeOf() : 'container'
  }

  notices(transform: Transform): readonly string[] {
    const { process, openContainers } = this.#options
    this.#lookAgain()
    const conflict = this.#conflict(transform)
    if (conflict !== undefined) return [conflict]
    const containers = this.#containers
    if (this.#nameFor(transform) === 'container') {
      if (containers.kind === 'open') return containers.executor.notices(transform)
      return [`${containers.reason}; until one is, jobs fail after a few tries`]
    }
    const notices = process.notices(transform)
    const isMissed =
      openContainers !== undefined && transform.image !== '' && this.#wants(transform) === 'auto'
    return isMissed && containers.kind === 'refused' ? [...notices, containers.reason] : notices
  }

  async openSlot(
    transform: Transform,
    signal: AbortSignal,
    secrets?: SlotSecrets,
    onWait?: OnWait,
  ): Promise<Slot> {
    const conflict = this.#conflict(transform)
    if (conflict !== undefined) throw new FailedPreconditionError(conflict)
    const { process, openContainers } = this.#options
    if (this.#wants(transform) !== 'process') await this.#lookForEngine()
    if (this.#nameFor(transform) === 'process')
      return await process.openSlot(transform, signal, secrets)
    const containers = this.#containers
    if (containers.kind === 'open')
      return await containers.executor.openSlot(transform, signal, secrets, onWait)
    if (openContainers === undefined) {
      throw new FailedPreconditionError(
        `the pipeline runs in containers, and ${containers.reason}: start pachd with --container-engine, or set "executor" to "process"`,
      )
    }
    // The words of the engine's own error, which may pass.
    return await (await openContainers()).openSlot(transform, signal, secrets, onWait)
  }

  async buildImage(build: ImageBuild, signal: AbortSignal): Promise<string> {
    const { choice, openContainers } = this.#options
    await this.#lookForEngine()
    const containers = this.#containers
    if (containers.kind === 'open') return await containers.executor.buildImage(build, signal)
    if (choice === 'process' || openContainers === undefined) {
      throw new FailedPreconditionError(
        "this server runs user code as processes, and has no container engine that could build an image: start pachd with --executor auto and --container-engine, or leave out --build and name programs of the server's machine",
      )
    }
    throw new UnavailableError(`no image can be built: ${containers.reason}`)
  }

  /** Before what uses it is closed: it waits no more for engines that hang. */
  leave(): void {
    if (this.#containers.kind === 'open') this.#containers.executor.leave()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opening
    if (this.#containers.kind === 'open') await this.#containers.executor[Symbol.asyncDispose]()
    await this.#options.process[Symbol.asyncDispose]()
  }

  /** The server's word comes first, then the pipeline's. */
  #wants(transform: Transform): ExecutorChoice {
    const { choice } = this.#options
    return choice === 'auto' ? (transform.executor ?? 'auto') : choice
  }

  #nameFor(transform: Transform): ExecutorName {
    const wants = this.#wants(transform)
    if (wants !== 'auto') return wants
    return transform.image !== '' && this.#containers.kind === 'open' ? 'container' : 'process'
  }

  #conflict({ executor }: Transform): string | undefined {
    const { choice } = this.#options
    if (executor === undefined || choice === 'auto' || executor === choice) return undefined
    return `the pipeline asks for executor "${executor}", and this server has "${choice}" for all: leave out "executor", or start pachd with --executor auto`
  }

  /** Without waiting: whoever asks next hears of it. */
  #lookAgain(): void {
    void this.#lookForEngine().catch(() => {})
  }

  /** Looks for the engine, if it was not there a while ago. */
  async #lookForEngine(): Promise<void> {
    const { choice, openContainers, clock } = this.#options
    if (choice === 'process' || openContainers === undefined) return
    const containers = this.#containers
    if (containers.kind === 'open' || clock.monotonicMs() - containers.atMs < retryMs) return
    this.#opening ??= this.#open(openContainers).finally(() => {
      this.#opening = undefined
    })
    await this.#opening
  }

  async #open(openContainers: () => Promise<ContainerExecutor>): Promise<void> {
    try {
      this.#containers = { kind: 'open', executor: await openContainers() }
    } catch (error) {
      if (!(error instanceof DomainError)) throw error
      const atMs = this.#options.clock.monotonicMs()
      this.#containers = { kind: 'refused', reason: error.message, atMs }
    }
  }
}

async function tryStart(executor: ContainerExecutor, clock: Clock): Promise<StartTrial> {
  const [timer, given] = [new AbortController(), new AbortController()]
  const late = clock.sleep(trialMsMax, timer.signal).then((): StartTrial => {
    given.abort()
    return { kind: 'untried', ...tooSlow }
  })
  late.catch(() => {})
  try {
    return await Promise.race([executor.tryStart(given.signal), late])
  } catch (error) {
    if (error instanceof DomainError) return { kind: 'refused', reason: error.message }
    throw error
  } finally {
    timer.abort()
  }
}
