import { availableParallelism } from 'node:os'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

import { type Clock, waitAtMost } from '../base/clock.ts'
import { assert, DomainError, FailedPreconditionError, UnavailableError } from '../base/errors.ts'
import { newHexId, type Random } from '../base/random.ts'
import {
  type Executor,
  noSecrets,
  type Slot,
  type SlotBounds,
  type SlotSecrets,
  type Transform,
} from '../pipelines/executor.ts'
import { programSizeFault } from '../pipelines/program-sizes.ts'
import type { EngineVariables } from './engine-storage.ts'
import { Leftovers } from './leftovers.ts'
import { ControlGroups } from './process/control-groups.ts'
import { Descriptors } from './process/descriptors.ts'
import { Openings } from './process/openings.ts'
import { DiskWatch, reservedPartOf } from './process/disk-watch.ts'
import { ProcessWatch } from './process/process-watch.ts'
import { requireAssignable } from './process/environment.ts'
import { fifosFault } from './process/fifo.ts'
import { outermost } from './process/hidden-places.ts'
import { HiddenPlacesFinder } from './process/hidden-places-finder.ts'
import { StartLooks } from './process/start-looks.ts'
import {
  choiceOf,
  chooseIsolation,
  type Isolation,
  type IsolationChoice,
  type SandboxChoice,
  type SandboxTrial,
  untried,
} from './process/isolation.ts'
import { RemoteMounts } from './process/remote-mounts.ts'
import { PlainSlot } from './process/plain-slot.ts'
import { SandboxSlot, type SlotOptions } from './process/sandbox-slot.ts'
import { requireArchiver } from './process/sandbox-tools.ts'
import { SandboxForbiddenError, toolPath } from './process/sandbox.ts'
import { SandboxLateError } from './process/sandbox-late-error.ts'
import { slotLeftover } from './process/slot-directory.ts'
import { programTooLongError } from './process/start-errors.ts'
import { unlessAborted } from './process/unless-aborted.ts'

export type { Isolation } from './process/isolation.ts'
export { slotCountFor } from './process/descriptors.ts'

export interface ProcessExecutorOptions {
  /**
   * Scratch space, this executor's alone: made if need be in one that exists, and emptied when it opens. What
   * cannot be removed, or takes long to, is in nobody's way.
   */
  readonly directory: string
  /** What user code must not see: the server's data directory. */
  readonly hiddenDirectories: readonly string[]
  /** Also this: files or directories, absolute, none of which need exist. */
  readonly hiddenPaths?: readonly string[]
  /** Where a container engine may listen: who reaches it can do anything on the machine. */
  readonly engineSockets?: readonly string[]
  /** Where container engines keep what code writes in containers, as far as they have told; none need exist. */
  readonly engineStorage?: () => readonly string[]
  /** By which the settings of engines are found that tell where else they keep it; unset: of all users alone. */
  readonly engineVariables?: EngineVariables
  readonly clock: Clock
  readonly random: Random
  /** Where programs are looked for, as in `PATH`, else in the usual places; a pipeline may set its own. */
  readonly programPath?: string
  /** So much of each output stream is looked at line by line; of what is more, the last lines. */
  readonly outputBytesMax?: number
  readonly bounds?: Partial<SlotBounds>
  /** So much of the disk is left to the server; unset: a part of what it has. */
  readonly reservedDiskBytes?: number
  /** How many file descriptors this process may have; unset: as many as it takes. */
  readonly openFilesMax?: number
  /** Instead of the best that the machine allows. */
  readonly isolation?: Isolation
  /** Told once what whoever looks after the server should know, if the first try to make a sandbox takes long or fails. */
  readonly onWarning?: (text: string) => void
}

/** Where systems keep programs. Nothing of the server's own `PATH`, which is its user's. */
export const usualProgramPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const outputBytesMaxDefault = 512 * 1024
const processCountMaxDefault = 4096
/** One of the two waits for a disk, or a program that ends. */
const openingsPerProcessor = 2
/** Until a crash is cleared up after, which then goes on. */
const clearMsMax = 2000
const tellMsMin = 5000
/** Who asks what holds does not wait for a disk that does not answer. */
const lookMsMax = 3000
const lateText =
  'trying to make a sandbox takes long: the machine is overloaded, or a disk does not answer; jobs wait for it, and it is given up in a minute at most, and tried again later'

interface OpenedOptions extends ProcessExecutorOptions {
  readonly leftovers: Leftovers
  readonly groups: ControlGroups
  readonly finder: HiddenPlacesFinder
  readonly startLooks: StartLooks
  readonly remoteMounts: RemoteMounts
  /** The same for all that it opens, whatever else a slot's own programs are found by. */
  readonly peoplesProgramPath: string
  readonly diskWatch: DiskWatch
  readonly processWatch: ProcessWatch
}

/** What this machine allows is found out when it is needed first. */
export async function openProcessExecutor(
  options: ProcessExecutorOptions,
): Promise<ProcessExecutor> {
  if (!existsSync(options.directory)) mkdirSync(options.directory, { mode: 0o700 })
  const directory = realpathSync(options.directory)
  const { clock } = options
  await using opened = new AsyncDisposableStack()
  const leftovers = opened.use(new Leftovers(clock))
  const left = readdirSync(directory).map((name) => slotLeftover(join(directory, name)))
  const clearing = Promise.all(left.map(async (each) => await leftovers.remove(each)))
  await waitAtMost(
    clock,
    clearMsMax,
    clearing.then(() => {}),
  )
  const hiddenDirectories = outermost(
    [...options.hiddenDirectories, directory].map((path) => realpathSync(path)),
  )
  const groupsName = `pachyderm-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}`
  const groups = opened.use(await ControlGroups.open(groupsName, { clock, leftovers }))
  const remoteMounts = new RemoteMounts(clock)
  const finder = opened.use(new HiddenPlacesFinder(clock, remoteMounts))
  const startLooks = opened.use(new StartLooks(clock))
  const diskBounds = {
    datumBytesMax: options.bounds?.diskBytesMax ?? Number.POSITIVE_INFINITY,
    reservedBytes: options.reservedDiskBytes ?? (await reservedPartOf(directory)),
  }
  const diskWatch = opened.use(new DiskWatch(directory, diskBounds, clock))
  const processWatch = opened.use(new ProcessWatch(clock, options.bounds?.refusedMsMax))
  const resolved = {
    ...options,
    directory,
    hiddenDirectories,
    peoplesProgramPath: options.programPath ?? usualProgramPath,
    leftovers,
    groups,
    finder,
    startLooks,
    remoteMounts,
    diskWatch,
    processWatch,
  }
  opened.move()
  return new ProcessExecutor(resolved, untried)
}

async function choose(options: OpenedOptions, signal: AbortSignal): Promise<IsolationChoice> {
  const reason = await fifosFault(options.directory)
  if (reason !== undefined) return { kind: 'impossible', reason }
  if (options.isolation !== undefined) return choiceOf(options.isolation)
  options.finder.warm()
  const trial = async (choice: SandboxChoice): Promise<SandboxTrial> =>
    await trySandbox(options, choice, signal)
  return await chooseIsolation(options.clock, trial, signal)
}

async function trySandbox(
  options: OpenedOptions,
  choice: SandboxChoice,
  signal: AbortSignal,
): Promise<SandboxTrial> {
  const transform: Transform = {
    image: '',
    command: ['true'],
    stdinLines: [],
    environment: {},
    acceptedReturnCodes: [],
  }
  try {
    // The tools' path, on which `true` is, too.
    const executor = new ProcessExecutor({ ...options, programPath: toolPath }, choice)
    await using slot = await executor.openSlot(transform, signal)
    await slot.run({ environment: {}, onLine: () => {}, onLeftOut: () => {} }, signal)
    return { kind: 'opened' }
  } catch (error) {
    if (!(error instanceof DomainError || isMissingProgram(error))) throw error
    return { kind: trialKind(error), reason: error.message.replace(/^no sandbox: /, '') }
  }
}

function trialKind(error: Error): 'forbidden' | 'failed' | 'late' {
  if (error instanceof SandboxLateError) return 'late'
  return error instanceof SandboxForbiddenError ? 'forbidden' : 'failed'
}

function isMissingProgram(error: unknown): error is Error {
  return systemCode(error) === 'ENOENT'
}

function systemCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** Runs user code as processes of this machine, each slot in a warm sandbox of namespaces. */
export class ProcessExecutor implements Executor {
  readonly name = 'process'
  readonly #options: OpenedOptions
  #choice: IsolationChoice | typeof untried
  #looking: Promise<void> | undefined
  /** Whether the first look has taken so long that people are told. */
  #isLate = false
  readonly #slots = new Map<string, Slot>()
  readonly #closing = new AbortController()
  readonly #descriptors: Descriptors
  readonly #openings: Openings

  /** Use `openProcessExecutor`. `options.directory` exists and is a real path. */
  constructor(options: OpenedOptions, choice: IsolationChoice | typeof untried) {
    this.#options = options
    this.#descriptors = new Descriptors(options.openFilesMax ?? Number.POSITIVE_INFINITY)
    this.#openings = new Openings(options.clock, openingsPerProcessor * availableParallelism())
    this.#choice = choice
  }

  /**
   * `unknown` before the first look, as long as no sandbox could be made on a machine that may allow one, and where no
   * code can run.
   */
  get isolation(): Isolation | 'unknown' {
    const choice = this.#choice
    if (choice.kind === 'sandbox') return choice.mode
    return choice.kind === 'none' ? 'none' : 'unknown'
  }

  /** What helps a machine without a sandbox, or without anything that runs, where that is known. */
  get advice(): string | undefined {
    const choice = this.#choice
    if (choice.kind === 'impossible') return 'then start pachd anew'
    return choice.kind === 'none' ? choice.advice : undefined
  }

  async look(): Promise<void> {
    if (this.#choice.kind !== 'untried' || this.#isLate) return
    // Whoever opens a slot hears of what fails.
    await waitAtMost(
      this.#options.clock,
      lookMsMax,
      this.lookWhole().catch(() => {}),
    )
  }

  /**
   * As `look`, however long it takes; if no sandbox could be made, tries again.
   *
   * @throws {CancelledError} when this is disposed of meanwhile, else what the system says, as of a full disk.
   */
  async lookWhole(): Promise<void> {
    const { kind } = this.#choice
    if (kind !== 'untried' && kind !== 'failed') return
    this.#looking ??= (kind === 'untried' ? this.#lookFirst() : this.#look()).finally(() => {
      this.#looking = undefined
    })
    await this.#looking
  }

  async #look(): Promise<void> {
    this.#choice = await choose(this.#options, this.#closing.signal)
  }

  async #lookFirst(): Promise<void> {
    const { clock, onWarning } = this.#options
    const timer = new AbortController()
    const telling = clock.sleep(tellMsMin, timer.signal).then(() => {
      this.#isLate = true
      onWarning?.(lateText)
    })
    telling.catch(() => {})
    try {
      await this.#look()
    } finally {
      timer.abort()
      this.#isLate = false
    }
    if (this.isolation === 'unknown') this.isolationNotices.forEach((text) => onWarning?.(text))
  }

  /** The bounds that it can tell of when user code comes up against them. */
  get holds(): ReadonlySet<'cpu' | 'memory' | 'processes' | 'disk'> {
    const { bounded } = this.#options.groups
    return new Set([
      'disk',
      ...(bounded.has('cpu') ? (['cpu'] as const) : []),
      ...(bounded.has('memory') ? (['memory'] as const) : []),
      ...(bounded.has('pids') ? (['processes'] as const) : []),
    ])
  }

  placeOf(): string {
    return this.name
  }

  notices(transform: Transform): readonly string[] {
    const notices: string[] = []
    if (transform.image !== '') {
      notices.push(
        `image ${transform.image} is recorded, but this executor runs the host's programs`,
      )
    }
    notices.push(...this.#boundNotices(transform))
    return [...notices, ...this.isolationNotices, ...this.leftovers]
  }

  /** What of slots could not be removed, for people. */
  get leftovers(): readonly string[] {
    return this.#options.leftovers.texts
  }

  /** What is to be said of how user code is set apart; nothing before the first look, unless that takes long. */
  get isolationNotices(): readonly string[] {
    const choice = this.#choice
    if (choice.kind === 'untried') return this.#isLate ? [lateText] : []
    if (choice.kind === 'none') {
      return [
        `there is no sandbox (${choice.reason}): /pfs is the directory named by $PFS, and the code can ` +
          'see the rest of the machine',
      ]
    }
    if (choice.kind === 'impossible') return [choice.reason]
    if (choice.kind === 'failed') {
      // Without waiting: whoever asks next hears of it.
      void this.lookWhole().catch(() => {})
      return [`${failureText(choice.reason)}; until one can be made, jobs fail after a few tries`]
    }
    if (choice.filterLoader !== undefined) return []
    const groups =
      choice.mode === 'root'
        ? ", nor from the machine's control groups, by which it is bounded"
        : ''
    return [
      "nothing keeps the code from the kernel's keyrings, where it finds keys of other pipelines and " +
        `of pachd's user${groups}: that takes perl or python3 in a usual place, or in a directory of pachd's PATH`,
    ]
  }

  /** What of the resources that a pipeline asks for does not come true. */
  #boundNotices({ resources }: Transform): readonly string[] {
    const { holds } = this
    const why = 'as this server may make no control groups for it (docs/executors.md)'
    return [
      ...(resources !== undefined && resources.cpu > 0 && !holds.has('cpu')
        ? [`resource_spec.cpu bounds nothing, ${why}`]
        : []),
      ...(resources !== undefined && resources.memoryBytes > 0 && !holds.has('memory')
        ? [`resource_spec.memory bounds each process on its own, ${why}`]
        : []),
      ...(resources !== undefined && resources.gpu > 0
        ? ['resource_spec.gpu is recorded, but this executor shows all that the host has']
        : []),
    ]
  }

  async openSlot(
    transform: Transform,
    signal: AbortSignal,
    secrets: SlotSecrets = noSecrets,
  ): Promise<Slot> {
    requireAssignable(secrets)
    const sizeFault = programSizeFault(transform)
    if (sizeFault !== undefined) throw new FailedPreconditionError(sizeFault)
    await unlessAborted(this.lookWhole(), signal, 'opening the slot was cancelled')
    const choice = this.#choice
    assert(choice.kind !== 'untried', 'the machine was looked at')
    if (choice.kind === 'impossible') throw new FailedPreconditionError(choice.reason)
    if (choice.kind === 'failed') {
      throw new UnavailableError(`${failureText(choice.reason)}; pachd tries again with each job`)
    }
    if (choice.kind === 'sandbox') requireArchiver(secrets, toolPath)
    using held = new DisposableStack()
    held.use(await this.#openings.take(signal))
    held.use(this.#descriptors.take())
    try {
      return await this.#open(choice, { transform, secrets, signal })
    } catch (error) {
      if (systemCode(error) === 'E2BIG') throw programTooLongError(transform)
      throw this.#descriptors.told(error)
    }
  }

  async #open(
    choice: Exclude<IsolationChoice, { readonly kind: 'failed' | 'impossible' }>,
    {
      transform,
      secrets,
      signal,
    }: {
      readonly transform: Transform
      readonly secrets: SlotSecrets
      readonly signal: AbortSignal
    },
  ): Promise<Slot> {
    const { directory, hiddenDirectories, programPath, outputBytesMax, clock, random } =
      this.#options
    const id = newHexId(random)
    const path = join(directory, id)
    const { group, limits } = this.#boundsOf(id, transform)
    const options: SlotOptions = {
      path,
      transform,
      secrets,
      hiddenDirectories,
      peoplesProgramPath: this.#options.peoplesProgramPath,
      hiddenPaths: this.#options.hiddenPaths ?? [],
      engineSockets: this.#options.engineSockets ?? [],
      engineStorage: this.#options.engineStorage?.() ?? [],
      engineVariables: this.#options.engineVariables ?? {},
      programPath: programPath ?? usualProgramPath,
      outputBytesMax: outputBytesMax ?? outputBytesMaxDefault,
      group,
      limits,
      filterLoader: choice.kind === 'sandbox' ? choice.filterLoader : undefined,
      diskWatch: this.#options.diskWatch,
      processWatch: this.#options.processWatch,
      finder: this.#options.finder,
      startLooks: this.#options.startLooks,
      remoteMounts: this.#options.remoteMounts,
      leftovers: this.#options.leftovers,
      clock,
      random,
      onDisposed: () => this.#slots.delete(path),
    }
    const slot =
      choice.kind === 'none'
        ? await PlainSlot.open(options)
        : await SandboxSlot.open(options, choice.mode, signal)
    this.#slots.set(path, slot)
    return slot
  }

  /** By a control group, or in ways that the kernel offers to everybody. */
  #boundsOf(id: string, transform: Transform): Pick<SlotOptions, 'group' | 'limits'> {
    const { groups, bounds } = this.#options
    const processCountMax = bounds?.processCountMax ?? processCountMaxDefault
    const { cpu = 0, memoryBytes = 0 } = transform.resources ?? {}
    const { bounded } = groups
    const group =
      bounded.size === 0 ? undefined : groups.group(id, { cpu, memoryBytes, processCountMax })
    return {
      group,
      limits: {
        groupEntries: group?.entries ?? [],
        dataBytes: bounded.has('memory') ? 0 : memoryBytes,
        processCount: bounded.has('pids') || this.isolation !== 'user' ? 0 : processCountMax,
      },
    }
  }

  /** Ends all slots. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    // Slots that are in use wait for what it sees.
    this.#options.startLooks[Symbol.dispose]()
    await this.#looking?.catch(() => {})
    await Promise.all(Array.from(this.#slots.values(), (slot) => slot[Symbol.asyncDispose]()))
    await this.#options.diskWatch[Symbol.asyncDispose]()
    await this.#options.processWatch[Symbol.asyncDispose]()
    this.#options.finder[Symbol.dispose]()
    await this.#options.groups[Symbol.asyncDispose]()
    await this.#options.leftovers[Symbol.asyncDispose]()
  }
}

function failureText(reason: string): string {
  return (
    `no sandbox could be made (${reason}), and no code runs without one unless pachd --sandbox off ` +
    'says so (docs/executors.md)'
  )
}
