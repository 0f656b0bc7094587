import { type CheckOptions, CheckRun } from './check-run.ts'
import type { Clock } from './clock.ts'
import { CancelledError } from './errors.ts'
import type { CheckCounts, Finding } from './findings.ts'

/** What somebody who follows a check hears. */
export type CheckEvent =
  | { readonly kind: 'progress'; readonly stage: string; readonly counts: CheckCounts }
  | { readonly kind: 'finding'; readonly finding: Finding }
  /** The last one; without it the check has not come to its end. */
  | { readonly kind: 'end'; readonly counts: CheckCounts }

/** Findings that wait to be taken before the check waits, too. */
const waitingMax = 64
const progressMs = 500

/**
 * Runs `work` and yields what it finds, and every half second how far it is. Ends the work when
 * nobody takes events any more.
 */
export async function* checkEvents(
  options: CheckOptions,
  ports: { readonly clock: Clock; readonly signal: AbortSignal },
  work: (run: CheckRun) => Promise<void>,
): AsyncGenerator<CheckEvent> {
  const stop = new AbortController()
  const signal = AbortSignal.any([ports.signal, stop.signal])
  const queue = new FindingQueue(signal)
  const run = new CheckRun(options, signal, (finding) => queue.put(finding))
  const ended = Promise.withResolvers<{ readonly error: unknown } | undefined>()
  const running = work(run).then(
    () => ended.resolve(undefined),
    (error: unknown) => ended.resolve({ error }),
  )
  try {
    for (;;) {
      for (const finding of queue.takeAll()) yield { kind: 'finding', finding }
      const pause = new AbortController()
      const outcome = await Promise.race([
        ended.promise.then((failure) => ({ failure })),
        queue.filled(),
        ports.clock.sleep(progressMs, pause.signal).then(
          () => 'late' as const,
          () => undefined,
        ),
      ])
      pause.abort()
      if (outcome === 'late') {
        yield { kind: 'progress', stage: run.stage, counts: { ...run.counts } }
      } else if (typeof outcome === 'object') {
        for (const finding of queue.takeAll()) yield { kind: 'finding', finding }
        if (outcome.failure !== undefined) throw outcome.failure.error
        yield { kind: 'end', counts: { ...run.counts } }
        return
      }
    }
  } finally {
    stop.abort()
    await running
  }
}

class FindingQueue {
  #waiting: Finding[] = []
  #filled = Promise.withResolvers<void>()
  #emptied = Promise.withResolvers<void>()
  readonly #signal: AbortSignal

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', () => this.#emptied.resolve(), { once: true })
  }

  async put(finding: Finding): Promise<void> {
    while (this.#waiting.length >= waitingMax) {
      if (this.#signal.aborted) throw new CancelledError('the check was cancelled')
      await this.#emptied.promise
    }
    this.#waiting.push(finding)
    this.#filled.resolve()
  }

  takeAll(): readonly Finding[] {
    const taken = this.#waiting
    this.#waiting = []
    this.#filled = Promise.withResolvers()
    this.#emptied.resolve()
    this.#emptied = Promise.withResolvers()
    return taken
  }

  async filled(): Promise<'filled'> {
    if (this.#waiting.length === 0) await this.#filled.promise
    return 'filled'
  }
}
