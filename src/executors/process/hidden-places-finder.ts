import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import type { Clock } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import { shortageError } from '../../base/shortages.ts'
import { mountTableText } from '../mount-table.ts'
import { requireDescriptors } from './descriptors.ts'
import type { HiddenPlaces } from './hidden-places.ts'
import type { PlacesAnswer, PlacesRequest } from './hidden-places-process.ts'
import type { RemoteMounts } from './remote-mounts.ts'
import { SandboxLateError } from './sandbox-late-error.ts'

/** As for the sandbox that it is for: a machine under load takes seconds. */
const findMsMax = 30_000
/** Workers start together, and then there is nothing to look for. */
const idleMs = 60_000
/** Each was given up on a disk that does not answer, and stays until it does. */
const stuckCountMax = 4

/**
 * Finds what sandboxes must hide, in a process that stays warm for a while: one look at a time, which those share who
 * ask before it begins. One that hangs on a disk is given up, and another begins when the disk has
 * answered, or other disks are mounted.
 */
export class HiddenPlacesFinder implements Disposable {
  readonly #clock: Clock
  readonly #mounts: RemoteMounts
  /** By what is asked for: looks that have not begun. */
  readonly #waiting = new Map<string, Promise<HiddenPlaces>>()
  /** Settles with the look that was asked for last. */
  #last: Promise<unknown> = Promise.resolve()
  #child: ChildProcess | undefined
  readonly #stuck = new Set<ChildProcess>()
  /** As the last look that hung had it. */
  #stuckTable = ''
  #idle = new AbortController()
  #isDisposed = false

  constructor(clock: Clock, mounts: RemoteMounts) {
    this.#clock = clock
    this.#mounts = mounts
  }

  /** Whether there is a process for the next look. */
  get isWarm(): boolean {
    return this.#child !== undefined
  }

  /** The first look has less to wait for. */
  warm(): void {
    if (this.#isDisposed) return
    try {
      this.#child ??= this.#start()
      this.#endWhenIdle()
    } catch (error) {
      // Whoever asks hears of it.
      if (shortageError(error) === undefined) throw error
    }
  }

  /**
   * What is to be hidden now.
   *
   * @throws {SandboxLateError} when a disk does not answer.
   * @throws {UnavailableError} when the process for it ended, or the finder is disposed of.
   */
  find(request: PlacesRequest): Promise<HiddenPlaces> {
    const key = JSON.stringify(request)
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) return waiting
    const look = this.#last.then(async () => {
      this.#waiting.delete(key)
      return await this.#look(request)
    })
    this.#waiting.set(key, look)
    this.#last = look.catch(() => {})
    return look
  }

  /** Looks that go on, or have not begun, fail. */
  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#idle.abort()
    this.#end()
  }

  #end(): void {
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }

  #endWhenIdle(): void {
    this.#idle.abort()
    if (this.#isDisposed) return
    this.#idle = new AbortController()
    void this.#clock.sleep(idleMs, this.#idle.signal).then(
      () => this.#end(),
      () => {},
    )
  }

  async #look(request: PlacesRequest): Promise<HiddenPlaces> {
    if (this.#isDisposed) throw new UnavailableError('no sandbox: the server is about to end')
    const isHopeless =
      this.#stuck.size >= stuckCountMax ||
      (this.#stuck.size > 0 && mountTableText() === this.#stuckTable)
    if (isHopeless) throw await this.#lateError()
    const table = mountTableText()
    this.#idle.abort()
    const child = (this.#child ??= this.#start())
    const timer = new AbortController()
    let isLate = false
    const late = this.#clock.sleep(findMsMax, timer.signal).then(async () => {
      isLate = true
      this.#child = undefined
      this.#stuck.add(child)
      this.#stuckTable = table
      child.once('exit', () => this.#stuck.delete(child))
      child.kill('SIGKILL')
      throw await this.#lateError()
    })
    late.catch(() => {})
    const answer = answerOf(child, request).catch(async (error: unknown) => {
      // What lets itself be ended has not failed: it was late.
      if (isLate) await late
      throw error
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      timer.abort()
      this.#endWhenIdle()
    }
  }

  async #lateError(): Promise<SandboxLateError> {
    return new SandboxLateError(`no sandbox: ${await this.#mounts.lateText(findMsMax)}`)
  }

  #start(): ChildProcess {
    requireDescriptors()
    // What is published is JavaScript.
    const name = `hidden-places-process.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`
    const child = fork(fileURLToPath(new URL(name, import.meta.url)), {
      execArgv: [],
      // As for sandboxes: the terminal's interrupt is for the server.
      detached: true,
      // A pipe that it holds open while it hangs would keep whoever reads from it.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
    })
    // The process may end while this one idles.
    child.unref()
    child.channel?.unref()
    const forget = (): void => {
      if (this.#child === child) this.#child = undefined
    }
    child.once('exit', forget)
    child.once('error', forget)
    return child
  }
}

async function answerOf(child: ChildProcess, request: PlacesRequest): Promise<HiddenPlaces> {
  const { promise, resolve, reject } = Promise.withResolvers<PlacesAnswer>()
  const failed = (error: Error): void => reject(endError(error))
  const ended = (code: number | null, signal: string | null): void =>
    failed(new Error(`it ended by ${signal ?? code}`))
  child.once('message', resolve).once('error', failed).once('exit', ended)
  try {
    child.send(request, (error) => {
      if (error !== null) failed(error)
    })
    const answer = await promise
    if (answer.kind === 'found') return answer.places
    throw endError(new Error(answer.reason))
  } finally {
    child.off('message', resolve).off('error', failed).off('exit', ended)
  }
}

/** Of a shortage, its own words tell more. */
function endError(error: Error): Error {
  if (shortageError(error) !== undefined) return error
  return new UnavailableError(
    `no sandbox: the process that finds what it must hide failed: ${error.message}`,
    { cause: error },
  )
}
