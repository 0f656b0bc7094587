import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import type { Clock } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import { shortageError } from '../../base/shortages.ts'
import { requireDescriptors } from './descriptors.ts'
import type { LookAnswer, LookRequest, Looks } from './looks-process.ts'

/** Those who look at something mostly come together, and then there is nothing to look at. */
const idleMs = 60_000
/** Each was given up on a disk that does not answer, and stays until it does. */
const stuckCountMax = 4

/** A look took too long. */
export class LookLateError extends UnavailableError {
  override readonly name = 'LookLateError'
}

/**
 * Looks at files, of which some may be on a disk that does not answer, in a process that stays warm for a while: at
 * one thing at a time. One that takes too long is given up.
 */
export class LookingProcess implements Disposable {
  readonly #clock: Clock
  /** Settles with the look that was asked for last. */
  #last: Promise<unknown> = Promise.resolve()
  #child: ChildProcess | undefined
  readonly #stuck = new Set<ChildProcess>()
  #idle = new AbortController()
  #isDisposed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether there is a process for the next look. */
  get isWarm(): boolean {
    return this.#child !== undefined
  }

  /** Whether a process was given up that has not ended, since a disk still does not answer. */
  get isStuck(): boolean {
    return this.#stuck.size > 0
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
   * What is seen within so long.
   *
   * @throws {LookLateError}
   * @throws {UnavailableError} when the process for it ended, or this is disposed of.
   */
  look<Name extends keyof Looks>(
    name: Name,
    args: Parameters<Looks[Name]>,
    msMax: number,
  ): Promise<ReturnType<Looks[Name]>> {
    const untilMs = this.#clock.monotonicMs() + msMax
    const look = this.#last.then(async () => await this.#look({ name, args }, untilMs))
    this.#last = look.catch(() => {})
    return look as Promise<ReturnType<Looks[Name]>>
  }

  /** Ends what is being looked at, too. */
  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#end()
  }

  #end(): void {
    this.#idle.abort()
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

  async #look(request: LookRequest, untilMs: number): Promise<unknown> {
    if (this.#isDisposed) throw new UnavailableError('nothing is looked at any more')
    const leftMs = untilMs - this.#clock.monotonicMs()
    if (leftMs <= 0 || this.#stuck.size >= stuckCountMax) throw new LookLateError('no time is left')
    this.#idle.abort()
    const child = (this.#child ??= this.#start())
    const timer = new AbortController()
    const late = this.#clock.sleep(leftMs, timer.signal).then(() => {
      this.#child = undefined
      this.#stuck.add(child)
      child.once('exit', () => this.#stuck.delete(child))
      child.kill('SIGKILL')
      throw new LookLateError('it took too long')
    })
    late.catch(() => {})
    try {
      return await Promise.race([answerOf(child, request), late])
    } finally {
      timer.abort()
      this.#endWhenIdle()
    }
  }

  #start(): ChildProcess {
    requireDescriptors()
    // What is published is JavaScript.
    const name = `looks-process.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`
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

async function answerOf(child: ChildProcess, request: LookRequest): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<LookAnswer>()
  const failed = (error: Error): void => reject(endError(error))
  const ended = (code: number | null, signal: string | null): void =>
    failed(new Error(`it ended by ${signal ?? code}`))
  child.once('message', resolve).once('error', failed).once('exit', ended)
  try {
    child.send(request, (error) => {
      if (error !== null) failed(error)
    })
    const answer = await promise
    if (answer.kind === 'seen') return answer.seen
    throw endError(new Error(answer.reason))
  } finally {
    child.off('message', resolve).off('error', failed).off('exit', ended)
  }
}

/** Of a shortage, its own words tell more. */
function endError(error: Error): Error {
  if (shortageError(error) !== undefined) return error
  return new UnavailableError(`the process that looks at files failed: ${error.message}`, {
    cause: error,
  })
}
