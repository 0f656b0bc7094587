import { existsSync, rmSync, statSync } from 'node:fs'

import type { Clock } from '../../base/clock.ts'
import {
  assert,
  CancelledError,
  FailedPreconditionError,
  UnavailableError,
} from '../../base/errors.ts'
import { newHexId, type Random } from '../../base/random.ts'
import { unescapedPath } from '../../base/mount-table.ts'
import { descendantsOf } from '../process/child-processes.ts'
import { stoppedMax } from '../process/stopping.ts'
import { FifoReader } from '../process/fifo.ts'
import { PipeWriter } from '../process/pipe-writer.ts'
import { AnswerLines, parseAnswer, type RunnerAnswer } from '../process/runner-answers.ts'
import { type ContainerSettings, mountPrefix } from './container-settings.ts'
import type { ProcessCounts } from '../process/process-watch.ts'
import {
  type BoundCounts,
  boundCountsOf,
  inheritedStateOf,
  isTraced,
  noBoundCounts,
  processCountsOf,
} from './bound-counts.ts'
import type { Engine, RunningContainer } from './engine.ts'
import type { MadeContainer, MadeContainers } from './made-containers.ts'
import { startContainer } from './starting.ts'
import { makeOpenFifos, type SlotFiles } from './slot-files.ts'

/** A machine under load starts one in seconds. */
const readyMsMax = 120_000

export interface WarmContainerPorts {
  readonly engine: Engine
  readonly containers: MadeContainers
  /** When a container was removed late, of which the slot has long been given up, maybe. */
  readonly onRemovedLate: () => Promise<void>
  readonly clock: Clock
  readonly random: Random
  readonly settings: ContainerSettings
  /** Lines of a shell that give the runner what is secret. */
  readonly secretScript: string
  readonly files: SlotFiles
}

/** How one run in a container went. */
export type ContainerAnswer =
  | (RunnerAnswer & {
      /** Whether the datum left something in memory that it shares with the next one. */
      readonly isStale: boolean
    })
  /** Nobody answers any more: the datum ended the runner, or the kernel did. */
  | { readonly kind: 'ended'; readonly ranOutOfMemory: boolean }

interface Waiting {
  readonly nonce: string
  isStale: boolean
  readonly resolve: (answer: ContainerAnswer) => void
  readonly reject: (reason: Error) => void
}

/**
 * A container whose process 1 is the runner. When this process dies, whichever way, the runner reads
 * the end of its input, and the container ends and is removed.
 */
export class WarmContainer implements AsyncDisposable {
  readonly #engine: Engine
  readonly #made: MadeContainer
  readonly #files: SlotFiles
  readonly #clock: Clock
  readonly #nonces: PipeWriter
  readonly #answers: FifoReader
  readonly #lines = new AnswerLines()
  readonly #becomingReady = Promise.withResolvers<void>()
  #running: RunningContainer = { upperDirectory: undefined, pid: 0 }
  #boundCounts: BoundCounts = noBoundCounts
  #inheritedState = ''
  #isReady = false
  #hasEnded = false
  #removing: Promise<void> | undefined
  readonly #writablePlaces = new Set<string>()
  #waiting: Waiting | undefined

  /** Opens everything or nothing. @throws {FailedPreconditionError} with advice. */
  static async open(ports: WarmContainerPorts, signal: AbortSignal): Promise<WarmContainer> {
    const { containers, files, settings } = ports
    const fifos = [files.noncesFifo, files.answersFifo] as const
    for (const fifo of fifos) rmSync(fifo, { force: true })
    await makeOpenFifos(...fifos)
    const made = await containers.make(settings.options, ports.onRemovedLate)
    let container: WarmContainer
    try {
      container = new WarmContainer(ports, made)
    } catch (error) {
      await made.remove().catch(() => {})
      throw error
    }
    try {
      await container.#start(ports, signal)
      return container
    } catch (error) {
      // Why it was not opened tells more than why it is removed later.
      await container[Symbol.asyncDispose]().catch(() => {})
      if (signal.aborted) throw new CancelledError('opening the container was cancelled')
      throw error
    } finally {
      // From here on nobody can open them by name, user code least of all.
      for (const fifo of fifos) rmSync(fifo, { force: true })
    }
  }

  private constructor({ engine, files, clock }: WarmContainerPorts, made: MadeContainer) {
    this.#engine = engine
    this.#made = made
    this.#files = files
    this.#clock = clock
    this.#nonces = new PipeWriter(files.noncesFifo)
    this.#answers = new FifoReader(files.answersFifo, (bytes) => this.#take(bytes))
  }

  /** Where the engine keeps what it changes of its image; undefined when nobody says. */
  get upperDirectory(): string | undefined {
    return this.#running.upperDirectory
  }

  /** The same as a list, where this process can look into it. */
  get upperDirectories(): readonly string[] {
    const { upperDirectory } = this
    return upperDirectory !== undefined && existsSync(upperDirectory) ? [upperDirectory] : []
  }

  /** Where else it can write what takes room on a disk, as this process sees it where it may. */
  get mountedPlaces(): readonly string[] {
    const { visibleRoot: root } = this
    if (root === undefined) return []
    return this.writablePlaces.filter((at) => !/^\/dev(\/|$)/.test(at)).map((at) => root + at)
  }

  /**
   * Where user code can change what is neither the slot's nor in the container's own file system: what
   * the engine mounted, as the container saw it before any user code ran.
   */
  get writablePlaces(): readonly string[] {
    return [...this.#writablePlaces]
  }

  /** The container's root as this process sees it; undefined where it may not, or the container ended. */
  get visibleRoot(): string | undefined {
    const { pid } = this.#running
    const isVisible =
      this.#removing === undefined && pid !== 0 && showsDirectory(pid, this.#files.control)
    return isVisible ? `/proc/${pid}/root` : undefined
  }

  /** How much it has changed of its image: asks the engine, which may take a while. 0 when nobody says. */
  async writtenBytes(): Promise<number> {
    return await this.#engine.writtenBytes(this.#made.id).catch(() => 0)
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Which bounds user code has come up against since this was asked last. */
  boundsHit(): { readonly memory: boolean; readonly processes: boolean } {
    const before = this.#boundCounts
    const now = boundCountsOf(this.#running.pid, this.#made.id)
    this.#boundCounts = now
    return { memory: now.memory > before.memory, processes: now.processes > before.processes }
  }

  /** Numbers of user code's processes, as this machine has them: all, or more than can be stopped; none where it cannot see them. */
  userProcesses(): readonly number[] {
    return this.visibleRoot === undefined ? [] : descendantsOf(this.#running.pid, stoppedMax + 1)
  }

  /** Of its processes, as `boundsHit` does not count them: nothing that it tells changes. */
  processCounts(): ProcessCounts {
    return processCountsOf(this.#running.pid, this.#made.id)
  }

  /** Whether user code has taken hold of the runner. */
  isRunnerTraced(): boolean {
    return isTraced(this.#running.pid, this.#made.id)
  }

  /** Whether user code has set limits or priorities of the runner, which the next datum would have. */
  isRunnerChanged(): boolean {
    return inheritedStateOf(this.#running.pid, this.#made.id) !== this.#inheritedState
  }

  /** Paths that differ from the image's, as the engine finds them. */
  async changes(): Promise<readonly string[]> {
    return await this.#engine.changes(this.#made.id)
  }

  /** Runs the command once. Nobody but the runner knows `nonce`, with which it answers. */
  async run(nonce: string): Promise<ContainerAnswer> {
    return await new Promise<ContainerAnswer>((resolve, reject) => {
      assert(this.#waiting === undefined, 'a container runs one datum at a time')
      if (this.#hasEnded) {
        reject(new UnavailableError('the container has ended'))
        return
      }
      this.#waiting = { nonce, isStale: false, resolve, reject }
      void this.#write(`${nonce}\n`)
    })
  }

  /**
   * Ends everything in it. Whoever waits for an answer hears of the end.
   *
   * @throws {DomainError} each time when it stays for now: what is in it may still run.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#removing ??= this.#remove()
    await this.#removing
  }

  async #remove(): Promise<void> {
    try {
      await this.#made.remove()
    } finally {
      this.#hasEnded = true
      this.#giveUp(new UnavailableError('the container was removed while the datum ran'))
      this.#nonces[Symbol.dispose]()
      this.#answers[Symbol.dispose]()
    }
  }

  async #start(
    { engine, settings, secretScript, clock, random }: WarmContainerPorts,
    signal: AbortSignal,
  ): Promise<void> {
    this.#running = await startContainer(engine, this.#made.id, settings)
    this.#boundCounts = boundCountsOf(this.#running.pid, this.#made.id)
    void this.#watch()
    const end = `${newHexId(random)}\n`
    await this.#write(end + secretScript + end, signal)
    const timer = new AbortController()
    const cancelled = Promise.withResolvers<never>()
    const cancel = (): void => cancelled.reject(new CancelledError('opening was cancelled'))
    signal.addEventListener('abort', cancel, { once: true })
    if (signal.aborted) cancel()
    const late = clock.sleep(readyMsMax, timer.signal).then(() => {
      throw notReadyError(engine)
    })
    late.catch(() => {})
    cancelled.promise.catch(() => {})
    try {
      await Promise.race([this.#becomingReady.promise, cancelled.promise, late])
      this.#inheritedState = inheritedStateOf(this.#running.pid, this.#made.id)
    } finally {
      timer.abort()
      signal.removeEventListener('abort', cancel)
    }
  }

  async #write(text: string, signal?: AbortSignal): Promise<void> {
    const isWanted = (): boolean => !this.#hasEnded && signal?.aborted !== true
    await this.#nonces.write(text, this.#clock, isWanted)
  }

  /** Waits for the container's end. */
  async #watch(): Promise<void> {
    let failure: Error | undefined
    await this.#engine.waitForEnd(this.#made.id).catch((error: Error) => {
      failure = error
    })
    if (this.#removing !== undefined) return
    const ranOutOfMemory = await this.#engine.ranOutOfMemory(this.#made.id).catch(() => false)
    this.#hasEnded = true
    this.#becomingReady.reject(
      failure ??
        new FailedPreconditionError(
          "the container ended before it was ready: the image's /bin/sh must be a POSIX shell",
        ),
    )
    if (failure !== undefined) this.#giveUp(failure)
    else {
      this.#answers.drain()
      this.#waiting?.resolve({ kind: 'ended', ranOutOfMemory })
      this.#waiting = undefined
    }
  }

  #take(bytes: Buffer): void {
    const lines = this.#lines.push(bytes)
    if (lines === undefined) this.#break()
    else for (const line of lines) this.#takeLine(line)
  }

  #takeLine(line: string): void {
    const waiting = this.#waiting
    if (line === 'ready') {
      this.#isReady = true
      this.#becomingReady.resolve()
      return
    }
    if (!this.#isReady && line.startsWith(mountPrefix)) {
      const place = unescapedPath(line.slice(mountPrefix.length + 'rw '.length))
      if (line.startsWith(`${mountPrefix}ro `)) this.#writablePlaces.delete(place)
      else this.#writablePlaces.add(place)
      return
    }
    if (waiting === undefined) return
    if (line === `${waiting.nonce} stale`) {
      waiting.isStale = true
      return
    }
    const answer = parseAnswer(line, waiting.nonce)
    if (answer === undefined) {
      this.#break()
      return
    }
    this.#waiting = undefined
    waiting.resolve({ ...answer, isStale: waiting.isStale })
  }

  /** The runner gave up, or somebody else speaks for it. */
  #break(): void {
    this.#giveUp(
      new UnavailableError(
        'the container could not be cleaned after the datum, or was tampered with',
      ),
    )
  }

  #giveUp(reason: Error): void {
    this.#becomingReady.promise.catch(() => {})
    this.#becomingReady.reject(reason)
    this.#waiting?.reject(reason)
    this.#waiting = undefined
  }
}

/** Whether this is the number of a process here that has the directory: another machine's has not. */
function showsDirectory(pid: number, directory: string): boolean {
  try {
    const seen = statSync(`/proc/${pid}/root/.pachyderm`)
    const own = statSync(directory)
    return seen.ino === own.ino && seen.dev === own.dev
  } catch {
    return false
  }
}

function notReadyError(engine: Engine): FailedPreconditionError {
  return new FailedPreconditionError(
    `a container of the engine at ${engine.address} started, but its runner was not heard for ${readyMsMax / 1000} s: containers must share this machine's kernel and see its directories; an engine in a virtual machine or on another machine does not`,
  )
}
