import { join } from 'node:path'

import type { Clock, Instant } from '../../base/clock.ts'
import {
  CancelledError,
  type FailedPreconditionError,
  UnavailableError,
} from '../../base/errors.ts'
import { newHexId, type Random } from '../../base/random.ts'
import {
  type DatumRun,
  type PlacedInputs,
  type RunResult,
  type Slot,
  SlotBoundError,
  type SlotSecrets,
  type Transform,
  WarmCommandError,
} from '../../pipelines/executor.ts'
import type { FilterLoader } from './call-filter.ts'
import type { ControlGroup } from './control-groups.ts'
import type { DiskWatch } from './disk-watch.ts'
import { EmptiedDirectory } from './emptied-directory.ts'
import { EmptiedTree } from './emptied-tree.ts'
import { datumScript, RewrittenFile, userEnvironment } from './environment.ts'
import type { EngineVariables } from '../engine-storage.ts'
import type { HiddenPlacesFinder } from './hidden-places-finder.ts'
import { OutputBudget, OutputLines } from './output-lines.ts'
import type { ProcessWatch } from './process-watch.ts'
import type { Leftovers } from '../leftovers.ts'
import { noexecMountOf, noexecText } from '../noexec.ts'
import { programFiles } from './program-faults.ts'
import { openSandbox, type Sandbox, type SandboxLimits, type SandboxMode } from './sandbox.ts'
import {
  giveUpSlot,
  makeSlotDirectory,
  outputName,
  pfsMode,
  sharedMode,
  type SlotDirectory,
  slotLeftover,
} from './slot-directory.ts'
import { startFault, type StartView, unstartedText } from './start-faults.ts'
import { StderrWords } from './stderr-words.ts'
import type { RemoteMounts } from './remote-mounts.ts'
import { SpareFiles } from './spare-files.ts'
import type { RunnerAnswer } from './runner-answers.ts'
import { programMissingError, programUnstartableError } from './start-errors.ts'
import { killAll } from './stopping.ts'
import { unlessAborted } from './unless-aborted.ts'
import { warmEndError, WarmProgram, warmVariables } from './warm-program.ts'

type Environment = Readonly<Record<string, string>>

/** The runner reads its nonce a byte at a time. */
const nonceDigits = 16
/** As shells say that they could not start it. */
const unstartableCode = 126
const datumFileMode = 0o600

export interface SlotOptions {
  /** Does not exist yet; removed when the slot is disposed of. */
  readonly path: string
  readonly transform: Transform
  readonly secrets: SlotSecrets
  readonly hiddenDirectories: readonly string[]
  /** Of what people keep, what is in directories of this path is shown. */
  readonly peoplesProgramPath: string
  /** Files or directories, absolute, that user code must not see; none need exist. */
  readonly hiddenPaths: readonly string[]
  /** Where sockets may be that user code must not find; none need exist. */
  readonly engineSockets: readonly string[]
  /** Directories, none of which need exist. */
  readonly engineStorage: readonly string[]
  readonly engineVariables: EngineVariables
  readonly programPath: string
  readonly outputBytesMax: number
  /** The slot's own, if there is one. It is disposed of with the slot. */
  readonly group: ControlGroup | undefined
  readonly limits: SandboxLimits
  readonly filterLoader: FilterLoader | undefined
  readonly diskWatch: DiskWatch
  readonly processWatch: ProcessWatch
  readonly finder: HiddenPlacesFinder
  readonly remoteMounts: RemoteMounts
  readonly leftovers: Leftovers
  readonly clock: Clock
  readonly random: Random
  readonly onDisposed: () => void
}

/** A slot whose sandbox stays warm from datum to datum. */
export class SandboxSlot implements Slot {
  readonly pfsPath = '/pfs'
  readonly isInputReadOnly = true
  readonly spares: SpareFiles | undefined
  readonly #options: SlotOptions
  readonly #directory: SlotDirectory
  readonly #files: Disposable
  readonly #datumFile: RewrittenFile
  readonly #sandbox: Sandbox
  readonly #warm: WarmProgram<RunnerAnswer> | undefined
  readonly #stdout: OutputLines
  readonly #stderr: OutputLines
  readonly #pfs: EmptiedTree
  readonly #others: readonly EmptiedDirectory[]
  #ranFrom: Instant = 0
  /** What the next run was prepared for. */
  #prepared: Environment | undefined

  private constructor(
    options: SlotOptions,
    directory: SlotDirectory,
    sandbox: Sandbox,
    outputs: { readonly stdout: OutputLines; readonly stderr: OutputLines },
  ) {
    this.#options = options
    this.#directory = directory
    using opened = new DisposableStack()
    this.#datumFile = opened.use(new RewrittenFile(directory.datumFile, datumFileMode))
    this.#sandbox = sandbox
    if (options.transform.isWarm === true) this.#warm = opened.use(this.#warmProgram())
    this.#files = opened.move()
    this.#stdout = outputs.stdout
    this.#stderr = outputs.stderr
    // A warm command may look again at what it had before.
    if (options.transform.isWarm !== true) this.spares = new SpareFiles(directory.spares)
    this.#pfs = new EmptiedTree(directory.pfs, pfsMode, outputName, this.spares)
    this.#others = [directory.tmp, directory.varTmp].map(
      (path) => new EmptiedDirectory(path, sharedMode),
    )
  }

  /** @throws {FailedPreconditionError} when this machine does not allow such a sandbox. */
  static async open(
    options: SlotOptions,
    mode: SandboxMode,
    signal: AbortSignal,
  ): Promise<SandboxSlot> {
    const { programPath, peoplesProgramPath } = options
    const { hiddenDirectories, hiddenPaths, engineSockets } = options
    const { engineStorage, engineVariables } = options
    const finding = options.finder.find({
      hiddenDirectories,
      hiddenPaths,
      engineSockets,
      engineStorage,
      engineVariables,
      programPath,
      peoplesProgramPath,
    })
    finding.catch(() => {})
    try {
      const directory = await makeSlotDirectory(options.path, options)
      const places = await unlessAborted(finding, signal, 'opening the slot was cancelled')
      const stdout = new OutputLines('stdout', options.clock)
      const stderr = new OutputLines('stderr', options.clock)
      await using opened = new AsyncDisposableStack()
      const sandbox = await openSandbox(
        {
          mode,
          filterLoader: options.filterLoader,
          directory,
          ...places,
          secrets: options.secrets,
          command: options.transform.command,
          limits: options.limits,
          clock: options.clock,
          onStdout: (bytes) => stdout.push(bytes),
          onStderr: (bytes) => stderr.push(bytes),
        },
        options.remoteMounts,
        signal,
      )
      opened.use(sandbox)
      const slot = new SandboxSlot(options, directory, sandbox, { stdout, stderr })
      opened.move()
      return slot
    } catch (error) {
      await giveUpSlot(options)
      throw error
    }
  }

  get pfsDirectory(): string {
    return this.#directory.pfs
  }

  get directories(): ReadonlySet<string> {
    return this.#pfs.directories
  }

  get mayHaveOutput(): boolean {
    return !this.#pfs.isKeptUntouched(this.#ranFrom)
  }

  prepare(environment: Environment): void {
    if (this.#warm !== undefined) return
    this.#writeDatum(environment)
    this.#prepared = environment
  }

  async run(run: DatumRun, signal: AbortSignal): Promise<RunResult> {
    const { outputBytesMax, clock } = this.#options
    const { group, diskWatch, processWatch } = this.#options
    if (signal.aborted) throw new CancelledError('the datum was cancelled')
    const budget = (): OutputBudget => new OutputBudget(outputBytesMax, clock)
    const abort = (): void => this.#sandbox.kill()
    signal.addEventListener('abort', abort, { once: true })
    let overrun: SlotBoundError | undefined
    const end = (reason: SlotBoundError): void => {
      overrun = reason
      abort()
    }
    using watches = new DisposableStack()
    if (group !== undefined) watches.use(processWatch.watch(group, end))
    watches.use(
      diskWatch.watch({
        directories: [
          join(this.#directory.pfs, outputName),
          this.#directory.tmp,
          this.#directory.varTmp,
        ],
        end,
      }),
    )
    this.#ranFrom = clock.now()
    try {
      this.#stdout.begin(budget(), run)
      const words = new StderrWords(run)
      this.#stderr.begin(budget(), words)
      let exitCode: number | undefined
      try {
        exitCode = await this.#exitCodeOf(run, words)
      } finally {
        this.#stdout.end()
        this.#stderr.end()
        words.end(exitCode)
      }
      if (overrun !== undefined) throw overrun
      const bound =
        group?.takeBound() ??
        noexecText(exitCode, this.#directory.path) ??
        this.#unstartedText(run, exitCode, words)
      return { exitCode, ...(bound !== undefined && { bound }) }
    } catch (error) {
      if (!signal.aborted) throw overrun ?? this.#boundError(error) ?? error
      // The sandbox has ended by now, and all that ran in it.
      throw new CancelledError('the datum was cancelled', { cause: error })
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async #exitCodeOf(run: DatumRun, words: StderrWords): Promise<number> {
    if (this.#prepared !== run.environment) this.prepare(run.environment)
    this.#prepared = undefined
    const answer = await (this.#warm?.run(run) ?? this.#start())
    const end = answer.kind === 'ended' ? answer.end : answer
    if (end.kind === 'missing') throw this.#missingError(run.environment)
    if (end.kind === 'unstartable') throw this.#unstartableError(run.environment)
    if (answer.kind === 'ended') {
      throw warmEndError(end.exitCode, this.#unstartedText(run, end.exitCode, words))
    }
    return end.exitCode
  }

  #unstartedText(run: DatumRun, exitCode: number, words: StderrWords): string | undefined {
    if (exitCode === 0) return undefined
    const { command } = this.#options.transform
    const view = this.#startView(run.environment, exitCode)
    return view && unstartedText(command[0] ?? '', words.complaint, view)
  }

  /** Undefined when there is nothing left to look at. */
  #startView(added: Environment, exitCode: number): StartView | undefined {
    const { root } = this.#sandbox
    const { PATH: path = '' } = this.#environment(added)
    return root === undefined ? undefined : { root, path, exitCode }
  }

  #start(): Promise<RunnerAnswer> {
    return this.#sandbox.run(newHexId(this.#options.random).slice(0, nonceDigits))
  }

  /** What the host has of it, the sandbox would show, were it not hidden. */
  #missingError(added: Environment): FailedPreconditionError {
    const { transform } = this.#options
    const { PATH = '' } = this.#environment(added)
    const [hidden] = programFiles(transform.command[0] ?? '', PATH)
    return programMissingError(transform, hidden)
  }

  #unstartableError(added: Environment): FailedPreconditionError {
    const { transform } = this.#options
    const { PATH = '' } = this.#environment(added)
    const program = transform.command[0] ?? ''
    const [file] = programFiles(program, PATH)
    const view = this.#startView(added, unstartableCode)
    return programUnstartableError(transform, {
      noexec: file === undefined ? file : noexecMountOf(file),
      fault: view && startFault(program, view),
    })
  }

  #environment(added: Environment): Environment {
    const { transform, programPath } = this.#options
    return userEnvironment(
      { programPath, pfsPath: this.pfsPath, homeDirectory: '/tmp' },
      transform.environment,
      added,
    )
  }

  #writeDatum(added: Environment): void {
    const { secrets } = this.#options
    const environment = this.#environment(added)
    const isWarm = this.#warm !== undefined
    this.#datumFile.write(datumScript(environment, Object.keys(secrets.environment), { isWarm }))
  }

  #warmProgram(): WarmProgram<RunnerAnswer> {
    return new WarmProgram(
      {
        start: () => {
          this.#writeDatum(warmVariables('/.pachyderm/variables'))
          return this.#start()
        },
        kill: () => killAll(this.#sandbox.userProcesses()),
        processes: () => this.#sandbox.userProcesses(),
        takeOutput: () => this.#sandbox.takeOutput(),
      },
      this.#directory,
      this.#options,
    )
  }

  /** Where the kernel chose to end the sandbox itself, or a warm command. */
  #boundError(error: unknown): SlotBoundError | undefined {
    if (!(error instanceof UnavailableError || error instanceof WarmCommandError)) return undefined
    const bound = this.#options.group?.takeBound()
    return bound === undefined ? undefined : new SlotBoundError(`user code was ended: ${bound}`)
  }

  async reset(placed?: PlacedInputs): Promise<void> {
    if (placed === undefined) await this.#pfs.empty(this.#ranFrom)
    else await this.#pfs.emptyPlaced(this.#ranFrom, placed)
    for (const directory of this.#others) await directory.empty(this.#ranFrom)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sandbox[Symbol.asyncDispose]()
    this.#files[Symbol.dispose]()
    await this.#options.group?.[Symbol.asyncDispose]()
    await this.#options.leftovers.remove(slotLeftover(this.#directory.path))
    this.#options.onDisposed()
  }
}
