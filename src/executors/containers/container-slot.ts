import type { Clock } from '../../base/clock.ts'
import { CancelledError, DomainError } from '../../base/errors.ts'
import { newHexId, type Random } from '../../base/random.ts'
import { exactSizeText } from '../../base/sizes.ts'
import type {
  DatumRun,
  RunResult,
  Slot,
  SlotBoundError,
  SlotSecrets,
  Transform,
} from '../../pipelines/executor.ts'
import { datumScript, RewrittenFile } from '../process/environment.ts'
import type { DiskWatch } from '../process/disk-watch.ts'
import { processBoundText, type ProcessWatch } from '../process/process-watch.ts'
import { FifoReader } from '../process/fifo.ts'
import { OutputBudget, OutputLines } from '../process/output-lines.ts'
import type { ContainerSettings } from './container-settings.ts'
import { containerEnvironment } from './container-environment.ts'
import type { Engine, EngineImage } from './engine.ts'
import type { MadeContainers } from './made-containers.ts'
import { type RootChange, RootState } from './root-state.ts'
import { emptySlotFiles, type OpenFiles, type SlotFiles } from './slot-files.ts'
import { noexecText } from '../noexec.ts'
import type { StartView } from '../process/start-faults.ts'
import type { StartLooks } from '../process/start-looks.ts'
import { StderrWords } from '../process/stderr-words.ts'
import { programMissingError, programUnstartableError } from './start-errors.ts'
import { warmEndError, WarmProgram, warmVariables } from '../process/warm-program.ts'
import { WarmContainer, type ContainerAnswer } from './warm-container.ts'

/** The runner reads its nonce a byte at a time. */
const nonceDigits = 16
const killedExitCode = 137
/** Whoever the user in the container is. */
const datumFileMode = 0o644

/** As shells say that they could not start it. */
const unstartableCode = 126

/** Why code may have ended with a code, if it could not be started. */
type Explain = (exitCode: number) => Promise<string | undefined>

export interface ContainerSlotOptions {
  readonly engine: Engine
  readonly containers: MadeContainers
  readonly image: EngineImage
  readonly transform: Transform
  readonly settings: ContainerSettings
  readonly secrets: SlotSecrets
  readonly secretScript: string
  readonly diskWatch: DiskWatch
  readonly processWatch: ProcessWatch
  readonly startLooks: StartLooks
  /** Taken over. */
  readonly files: SlotFiles
  readonly openFiles: OpenFiles
  /** Now or later. */
  readonly removeFiles: () => Promise<void>
  /** When a container was removed late, of which the slot has long been given up, maybe. */
  readonly onRemovedLate: () => Promise<void>
  readonly outputBytesMax: number
  readonly processCountMax: number
  readonly clock: Clock
  readonly random: Random
  /** Called when a container must be replaced for what user code has changed, or may have. */
  readonly onRootChanged: (change: RootChange) => void
  readonly onDisposed: () => void
}

/**
 * A slot whose container stays warm from datum to datum, as long as datums leave it as its image
 * made it: one that has changed its file system, or ended, is replaced while the next datum's files
 * are written.
 */
export class ContainerSlot implements Slot {
  readonly pfsPath = '/pfs'
  readonly directories: ReadonlySet<string> = new Set(['/out'])
  readonly isInputReadOnly = true
  readonly mayHaveOutput = true
  readonly #options: ContainerSlotOptions
  readonly #datumFile: RewrittenFile
  readonly #warm: WarmProgram<ContainerAnswer> | undefined
  readonly #stdout: OutputLines
  readonly #stderr: OutputLines
  readonly #outputs: readonly FifoReader[]
  readonly #closing = new AbortController()
  #container: Promise<OpenContainer>
  /** The datum that ran last left something behind that only goes with the container. */
  #isStale = false

  static async open(options: ContainerSlotOptions, signal: AbortSignal): Promise<ContainerSlot> {
    let slot: ContainerSlot
    try {
      slot = new ContainerSlot(options)
    } catch (error) {
      await options.removeFiles()
      options.onDisposed()
      throw error
    }
    const abort = (): void => slot.#closing.abort()
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    try {
      await slot.#container
      return slot
    } catch (error) {
      await slot[Symbol.asyncDispose]()
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  private constructor(options: ContainerSlotOptions) {
    const { files, clock } = options
    this.#options = options
    this.#datumFile = new RewrittenFile(files.datumFile, datumFileMode)
    if (options.transform.isWarm === true) this.#warm = this.#warmProgram()
    this.#stdout = new OutputLines('stdout', clock)
    this.#stderr = new OutputLines('stderr', clock)
    this.#outputs = [
      new FifoReader(files.stdoutFifo, (bytes) => this.#stdout.push(bytes)),
      new FifoReader(files.stderrFifo, (bytes) => this.#stderr.push(bytes)),
    ]
    this.#container = this.#openContainer()
  }

  get pfsDirectory(): string {
    return this.#options.files.pfs
  }

  prepare(): void {}

  async run(run: DatumRun, signal: AbortSignal): Promise<RunResult> {
    const { files, outputBytesMax, clock } = this.#options
    const { diskWatch, processWatch, startLooks, processCountMax } = this.#options
    if (signal.aborted) throw new CancelledError('the datum was cancelled')
    const { container } = await this.#container
    const budget = (): OutputBudget => new OutputBudget(outputBytesMax, clock)
    const abort = (): void => void container[Symbol.asyncDispose]().catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    let overrun: SlotBoundError | undefined
    const end = (reason: SlotBoundError): void => {
      overrun = reason
      abort()
    }
    const { upperDirectories, mountedPlaces } = container
    const counted = {
      processCountMax,
      processCounts: () => container.processCounts(),
      isRunnerTraced: () => container.isRunnerTraced(),
    }
    using watches = new DisposableStack()
    watches.use(processWatch.watch(counted, end))
    watches.use(
      diskWatch.watch({
        directories: [files.out, files.tmp, files.varTmp, ...upperDirectories, ...mountedPlaces],
        otherBytes: upperDirectories.length > 0 ? undefined : () => container.writtenBytes(),
        end,
      }),
    )
    try {
      this.#stdout.begin(budget(), run)
      const words = new StderrWords(run)
      this.#stderr.begin(budget(), words)
      const view = (exitCode: number): StartView | undefined =>
        this.#startView(run.environment, container, exitCode)
      const explain: Explain = async (exitCode) => {
        const seen = exitCode === 0 ? undefined : view(exitCode)
        if (seen === undefined) return undefined
        return await startLooks.unstartedText(this.#program, words.complaint, seen)
      }
      let answer: ContainerAnswer | undefined
      try {
        answer = await this.#answerTo(run, container, explain)
      } finally {
        this.#takeOutput()
        this.#stdout.end()
        this.#stderr.end()
        words.end(answer?.kind === 'exit' ? answer.exitCode : undefined)
      }
      if (signal.aborted) throw new CancelledError('the datum was cancelled')
      if (overrun !== undefined) throw overrun
      if (answer.kind === 'unstartable') {
        const seen = view(unstartableCode)
        const fault = seen && (await startLooks.look('startFault', this.#program, seen))
        throw programUnstartableError(this.#options.transform, fault)
      }
      return await this.#resultOf(answer, container, explain)
    } catch (error) {
      if (!signal.aborted) throw overrun ?? error
      // All that ran in it has ended by now.
      throw new CancelledError('the datum was cancelled', { cause: error })
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async reset(): Promise<void> {
    const { files, openFiles } = this.#options
    const { container, root } = await this.#container
    const changed = await this.#change(container, root)
    const isUnfit = this.#isStale || container.hasEnded || container.isRunnerChanged()
    if (changed !== undefined || isUnfit) {
      if (changed !== undefined) this.#options.onRootChanged(changed)
      await container[Symbol.asyncDispose]()
      await emptySlotFiles(files, openFiles)
      this.#isStale = false
      this.#container = this.#openContainer()
      // Whoever runs the next datum hears of it.
      this.#container.catch(() => {})
      return
    }
    await emptySlotFiles(files, openFiles)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    const opened = await this.#container.catch(() => undefined)
    const isRemoved = opened === undefined || (await isRemovedNow(opened.container))
    for (const output of this.#outputs) output[Symbol.dispose]()
    this.#datumFile[Symbol.dispose]()
    this.#warm?.[Symbol.dispose]()
    const { removeFiles, onDisposed } = this.#options
    // Else they go after it: what runs in it may have them.
    if (isRemoved) await removeFiles()
    onDisposed()
  }

  async #openContainer(): Promise<OpenContainer> {
    const container = await WarmContainer.open(this.#options, this.#closing.signal)
    try {
      return { container, root: await RootState.of(container) }
    } catch (error) {
      await container[Symbol.asyncDispose]().catch(() => {})
      throw error
    }
  }

  async #change(container: WarmContainer, root: RootState): Promise<RootChange | undefined> {
    return container.hasEnded ? undefined : await root.change(container)
  }

  get #program(): string {
    return this.#options.transform.command[0] ?? ''
  }

  /** Undefined where this server cannot look into the container. */
  #startView(
    added: Readonly<Record<string, string>>,
    { visibleRoot }: WarmContainer,
    exitCode: number,
  ): StartView | undefined {
    const { image, transform } = this.#options
    const { PATH: path = '' } = containerEnvironment(image, transform.environment, added)
    return visibleRoot === undefined ? undefined : { root: visibleRoot, path, exitCode }
  }

  async #answerTo(
    run: DatumRun,
    container: WarmContainer,
    explain: Explain,
  ): Promise<ContainerAnswer> {
    if (this.#warm === undefined) return await this.#start(run.environment, container)
    const answer = await this.#warm.run(run)
    if (answer.kind === 'exit') return { ...answer, isStale: this.#isStale }
    if (answer.end.kind === 'exit') {
      throw warmEndError(answer.end.exitCode, await explain(answer.end.exitCode))
    }
    return answer.end
  }

  async #start(
    added: Readonly<Record<string, string>>,
    container: WarmContainer,
  ): Promise<ContainerAnswer> {
    const { image, transform, secrets, random } = this.#options
    const environment = containerEnvironment(image, transform.environment, added)
    const isWarm = this.#warm !== undefined
    this.#datumFile.write(datumScript(environment, Object.keys(secrets.environment), { isWarm }))
    return await container.run(newHexId(random).slice(0, nonceDigits))
  }

  /** Who must be killed takes the container along: another one is opened for the next datum. */
  #warmProgram(): WarmProgram<ContainerAnswer> {
    let running: WarmContainer | undefined
    let isKilled = false
    return new WarmProgram(
      {
        start: async () => {
          const { container } = await this.#container
          running = container
          isKilled = false
          try {
            const end = await this.#start(warmVariables('/.pachyderm/variables'), container)
            if (end.kind === 'exit' && end.isStale) this.#isStale = true
            return end
          } catch (error) {
            if (isKilled) return { kind: 'ended', ranOutOfMemory: false }
            throw error
          }
        },
        kill: () => {
          isKilled = true
          this.#isStale = true
          running?.[Symbol.asyncDispose]().catch(() => {})
        },
        processes: () => running?.userProcesses() ?? [],
        takeOutput: () => this.#takeOutput(),
        // What it writes when it starts, as compiled code, is no datum's.
        onReady: async () => {
          const { container } = await this.#container
          this.#container = Promise.resolve({ container, root: await RootState.of(container) })
        },
      },
      this.#options.files,
      this.#options,
    )
  }

  #takeOutput(): void {
    for (const output of this.#outputs) output.drain()
  }

  async #resultOf(
    answer: Exclude<ContainerAnswer, { readonly kind: 'unstartable' }>,
    container: WarmContainer,
    explain: Explain,
  ): Promise<RunResult> {
    const { transform } = this.#options
    switch (answer.kind) {
      case 'ended':
        this.#isStale = true
        return { exitCode: killedExitCode, bound: this.#endText(answer.ranOutOfMemory) }
      case 'missing':
        throw programMissingError(transform)
      case 'exit':
        this.#isStale = answer.isStale
        return await this.#withBound(answer.exitCode, container, explain)
    }
  }

  /** Tells of a bound where it may be why the code failed. */
  async #withBound(
    exitCode: number,
    container: WarmContainer,
    explain: Explain,
  ): Promise<RunResult> {
    if (exitCode === 0) return { exitCode }
    const { memory, processes } = container.boundsHit()
    if (memory) return { exitCode, bound: this.#memoryText }
    if (!processes) {
      const bound = noexecText(exitCode, this.#options.files.path) ?? (await explain(exitCode))
      return { exitCode, ...(bound !== undefined && { bound }) }
    }
    return { exitCode, bound: processBoundText(this.#options.processCountMax) }
  }

  #endText(ranOutOfMemory: boolean): string {
    if (ranOutOfMemory) return this.#memoryText
    const ended = 'its container ended under it'
    // An engine that has removed the container cannot say why it ended any more.
    const isBounded = (this.#options.transform.resources?.memoryBytes ?? 0) > 0
    return isBounded ? `${this.#memoryText}, or ${ended}` : ended
  }

  get #memoryText(): string {
    const bytes = this.#options.transform.resources?.memoryBytes ?? 0
    return boundText(`${exactSizeText(bytes)} of memory`)
  }
}

async function isRemovedNow(container: WarmContainer): Promise<boolean> {
  try {
    await container[Symbol.asyncDispose]()
    return true
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return false
  }
}

function boundText(bound: string): string {
  return `it came up against its bound of ${bound}`
}

interface OpenContainer {
  readonly container: WarmContainer
  readonly root: RootState
}
