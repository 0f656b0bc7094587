import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readdirSync } from 'node:fs'

import type { Instant } from '../../base/clock.ts'
import {
  CancelledError,
  type DomainError,
  FailedPreconditionError,
  UnavailableError,
} from '../../base/errors.ts'
import { newHexId } from '../../base/random.ts'
import type {
  DatumRun,
  RunResult,
  Slot,
  SlotBoundError,
  SlotSecrets,
} from '../../pipelines/executor.ts'
import { EmptiedDirectory } from './emptied-directory.ts'
import { EmptiedTree } from './emptied-tree.ts'
import { shellKeeps, userEnvironment } from './environment.ts'
import { FifoReader } from './fifo.ts'
import { OutputBudget, OutputLines } from './output-lines.ts'
import { noexecText } from '../noexec.ts'
import { boundedBy } from './sandbox.ts'
import type { SlotOptions } from './sandbox-slot.ts'
import { signalNumber } from './signal-numbers.ts'
import {
  giveUpSlot,
  makeSlotDirectory,
  outputName,
  pfsMode,
  sharedMode,
  type SlotDirectory,
  slotLeftover,
} from './slot-directory.ts'
import { programMissingError, programUnstartableError, startError } from './start-errors.ts'
import type { StartView } from './start-faults.ts'
import { StderrWords } from './stderr-words.ts'
import { killAll } from './stopping.ts'
import { warmEndError, WarmProgram, warmVariables } from './warm-program.ts'

// Inherited by everything that a datum starts: this is how its processes are found.
const tagName = 'PACHYDERM_DATUM_TAG'
const killRoundsMax = 100
/** As shells say that they could not start a program, or found none. */
const unstartableCode = 126
const missingCode = 127
/** Who waits for a disk that does not answer does not end, though killed: that one is waited for no longer. */
const endMsMax = 5000

type Environment = Readonly<Record<string, string>>

/** A slot without a sandbox, for machines that forbid one: user code finds its files at `$PFS`. */
export class PlainSlot implements Slot {
  readonly isInputReadOnly = false
  readonly mayHaveOutput = true
  readonly #options: SlotOptions
  readonly #directory: SlotDirectory
  readonly #stdout: OutputLines
  readonly #stderr: OutputLines
  readonly #outputs: readonly FifoReader[]
  readonly #pipes: Disposable
  readonly #pfs: EmptiedTree
  readonly #tmp: EmptiedDirectory
  readonly #warm: WarmProgram<number> | undefined
  /** Ends a warm command. */
  readonly #closing = new AbortController()
  #ranFrom: Instant = 0

  private constructor(options: SlotOptions, directory: SlotDirectory) {
    this.#options = options
    this.#directory = directory
    this.#pfs = new EmptiedTree(directory.pfs, pfsMode, outputName)
    this.#tmp = new EmptiedDirectory(directory.tmp, sharedMode)
    this.#stdout = new OutputLines('stdout', options.clock)
    this.#stderr = new OutputLines('stderr', options.clock)
    using opened = new DisposableStack()
    this.#outputs = [
      opened.use(new FifoReader(directory.stdoutFifo, (bytes) => this.#stdout.push(bytes))),
      opened.use(new FifoReader(directory.stderrFifo, (bytes) => this.#stderr.push(bytes))),
    ]
    if (options.transform.isWarm === true) this.#warm = opened.use(this.#warmProgram())
    this.#pipes = opened.move()
  }

  /** @throws {FailedPreconditionError} for secrets in files, which would lie open on a disk. */
  static async open(options: SlotOptions): Promise<PlainSlot> {
    try {
      requireNoFiles(options.secrets)
      return new PlainSlot(options, await makeSlotDirectory(options.path, options))
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

  get pfsPath(): string {
    return this.#directory.pfs
  }

  prepare(): void {}

  async run(run: DatumRun, signal: AbortSignal): Promise<RunResult> {
    if (signal.aborted) throw new CancelledError('the datum was cancelled')
    const budget = (): OutputBudget =>
      new OutputBudget(this.#options.outputBytesMax, this.#options.clock)
    this.#stdout.begin(budget(), run)
    const words = new StderrWords(run)
    this.#stderr.begin(budget(), words)
    this.#ranFrom = this.#options.clock.now()
    const ending = new AbortController()
    const { group, diskWatch, processWatch } = this.#options
    const end = (reason: SlotBoundError): void => ending.abort(reason)
    using watches = new DisposableStack()
    if (group !== undefined) watches.use(processWatch.watch(group, end))
    watches.use(
      diskWatch.watch({
        directories: [this.#directory.pfs, this.#directory.tmp],
        end,
      }),
    )
    const cancel = (): void => ending.abort()
    signal.addEventListener('abort', cancel, { once: true })
    watches.defer(() => signal.removeEventListener('abort', cancel))
    const requireGoing = (cause?: unknown): void => {
      if (signal.aborted) throw new CancelledError('the datum was cancelled', { cause })
      if (ending.signal.aborted) throw ending.signal.reason as SlotBoundError
    }
    const exitCode = await this.#exitCodeOf(run, words, ending.signal)
      .finally(() => {
        for (const output of this.#outputs) output.drain()
        this.#stdout.end()
        this.#stderr.end()
        // No shell has said anything of it.
        words.end()
      })
      .catch((error: unknown) => {
        requireGoing(error)
        throw error
      })
    requireGoing()
    const bound =
      group?.takeBound() ??
      noexecText(exitCode, this.#directory.path) ??
      (await this.#unstartedText(run.environment, words, exitCode))
    return { exitCode, ...(bound !== undefined && { bound }) }
  }

  async reset(): Promise<void> {
    await this.#pfs.empty(this.#ranFrom)
    await this.#tmp.empty(this.#ranFrom)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#warm?.ended()
    this.#pipes[Symbol.dispose]()
    await this.#options.group?.[Symbol.asyncDispose]()
    await this.#options.leftovers.remove(slotLeftover(this.#directory.path))
    this.#options.onDisposed()
  }

  async #exitCodeOf(run: DatumRun, words: StderrWords, signal: AbortSignal): Promise<number> {
    const warm = this.#warm
    if (warm === undefined) {
      return await this.#runProgram(run.environment, newHexId(this.#options.random), signal)
    }
    const abort = (): void => this.#closing.abort()
    signal.addEventListener('abort', abort, { once: true })
    try {
      const answer = await warm.run(run)
      if (answer.kind === 'ended' && !signal.aborted) {
        const text = await this.#unstartedText(run.environment, words, answer.end)
        throw warmEndError(answer.end, text)
      }
      return answer.kind === 'ended' ? answer.end : answer.exitCode
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** The command of a slot without a sandbox is found by what its environment holds. */
  #warmProgram(): WarmProgram<number> {
    const tag = newHexId(this.#options.random)
    const entry = tagEntry(tag)
    const variables = warmVariables(this.#directory.variablesFile)
    let ending = new AbortController()
    this.#closing.signal.addEventListener('abort', () => ending.abort(), { once: true })
    return new WarmProgram(
      {
        start: async () => {
          // Nobody would end it.
          this.#closing.signal.throwIfAborted()
          ending = new AbortController()
          return await this.#runProgram(variables, tag, ending.signal)
        },
        kill: () => {
          // It may hide what it is found by.
          ending.abort()
          killAll(processesWith(entry))
        },
        processes: () => processesWith(entry),
        takeOutput: () => {
          for (const output of this.#outputs) output.drain()
        },
      },
      this.#directory,
      this.#options,
    )
  }

  async #unstartedText(
    added: Environment,
    words: StderrWords,
    exitCode: number,
  ): Promise<string | undefined> {
    if (exitCode === 0) return undefined
    const { transform, startLooks } = this.#options
    const view = this.#startView(added, exitCode)
    return await startLooks.unstartedText(transform.command[0] ?? '', words.complaint, view)
  }

  #startView(added: Environment, exitCode: number): StartView {
    const { PATH: path = '' } = this.#environment(added, '')
    return { root: '/', path, exitCode }
  }

  async #runProgram(added: Environment, tag: string, signal: AbortSignal): Promise<number> {
    const child = await this.#start(added, tag)
    const { promise: end, resolve, reject } = Promise.withResolvers<number>()
    child.once('error', (error: NodeJS.ErrnoException) => {
      void this.#startError(error, added).then(reject, reject)
    })
    child.once('exit', (code, name) => resolve(code ?? 128 + signalNumber(name)))
    const timer = new AbortController()
    const abort = (): void => {
      killGroup(child)
      const late = this.#options.clock.sleep(endMsMax, timer.signal).then(() => {
        child.unref()
        reject(unendingError())
      })
      late.catch(() => {})
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      const exitCode = await end
      if (exitCode === unstartableCode || exitCode === missingCode)
        await this.#requireProgram(added)
      return exitCode
    } finally {
      timer.abort()
      signal.removeEventListener('abort', abort)
      killGroup(child)
      await this.#options.group?.kill()
      await this.#killTagged(tag)
    }
  }

  async #start(added: Environment, tag: string): Promise<ChildProcess> {
    try {
      return this.#spawn(added, tag)
    } catch (error) {
      throw isSystemError(error) ? await this.#startError(error, added) : error
    }
  }

  async #startError(error: NodeJS.ErrnoException, added: Environment): Promise<DomainError> {
    const { transform, startLooks } = this.#options
    // As shells say it.
    const code = error.code === 'ENOENT' ? missingCode : unstartableCode
    const view = this.#startView(added, code)
    const fault = await startLooks.look('startFault', transform.command[0] ?? '', view)
    return startError(error, transform, fault)
  }

  /** With such a code a shell, too, says that it could not start the program. */
  async #requireProgram(added: Environment): Promise<void> {
    const { transform, startLooks } = this.#options
    const { PATH = '' } = this.#environment(added, '')
    const program = transform.command[0] ?? ''
    const fault = await startLooks.look('programFault', program, PATH)
    if (fault === 'missing') throw programMissingError(transform)
    if (fault === 'unstartable') {
      const view = this.#startView(added, unstartableCode)
      const reasons = await startLooks.look('unstartableReasons', program, PATH, view)
      throw programUnstartableError(transform, reasons)
    }
  }

  #environment(added: Environment, tag: string): Environment {
    const { transform, secrets, programPath } = this.#options
    const { tmp, pfs } = this.#directory
    return userEnvironment(
      { programPath, pfsPath: pfs, homeDirectory: tmp },
      { TMPDIR: tmp },
      transform.environment,
      added,
      secrets.environment,
      { [tagName]: tag },
    )
  }

  #spawn(added: Environment, tag: string): ChildProcess {
    const { transform, limits } = this.#options
    const { stdinFile, stdoutFifo, stderrFifo, datumsFifo, resultsFifo } = this.#directory
    const environment = this.#environment(added, tag)
    const bounded = boundedBy(limits)
    const [program = '', ...rest] =
      bounded.length === 0
        ? transform.command
        : [...bounded, ...shellKeeps(environment), ...transform.command]
    using passed = new DisposableStack()
    const pass = (path: string, flags: number): number =>
      passed.adopt(openSync(path, flags), closeSync)
    const isWarm = transform.isWarm === true
    const stdio = [
      pass(isWarm ? datumsFifo : stdinFile, constants.O_RDONLY),
      pass(stdoutFifo, constants.O_WRONLY),
      pass(stderrFifo, constants.O_WRONLY),
      ...(isWarm ? [pass(resultsFifo, constants.O_WRONLY)] : []),
    ]
    return spawn(program, rest, { cwd: '/', env: environment, detached: true, stdio })
  }

  /** Kills what left the datum's process group, as far as its environment still tells. */
  async #killTagged(tag: string): Promise<void> {
    const entry = tagEntry(tag)
    for (let round = 0; round < killRoundsMax; round += 1) {
      const tagged = processesWith(entry)
      if (tagged.length === 0) return
      for (const pid of tagged) killQuietly(pid)
      await this.#options.clock.sleep(1)
    }
  }
}

function requireNoFiles({ directories: [shown] }: SlotSecrets): void {
  if (shown === undefined) return
  throw new FailedPreconditionError(
    `secrets cannot be shown at ${shown.path}, since there is no sandbox; give them ` +
      'by "env_var" and "key" instead, or allow namespaces (docs/executors.md)',
  )
}

function unendingError(): UnavailableError {
  return new UnavailableError(
    'its processes do not end though they are killed: a disk that they wait for does not answer',
  )
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && 'syscall' in error
}

function tagEntry(tag: string): Buffer {
  return Buffer.from(`${tagName}=${tag}\0`)
}

function processesWith(environmentEntry: Buffer): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => environmentOf(name)?.includes(environmentEntry) ?? false)
    .map(Number)
}

/** Undefined for a process that has ended, or is somebody else's. */
function environmentOf(pid: string): Buffer | undefined {
  try {
    return readFileSync(`/proc/${pid}/environ`)
  } catch {
    return undefined
  }
}

function killGroup(child: ChildProcess): void {
  if (child.pid !== undefined) killQuietly(-child.pid)
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
