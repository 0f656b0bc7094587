import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'

/** A timer waits at most so long at a time. */
const napMsMax = 24 * 3600 * 1000

/** Calls `onOver` once, after `ms`, unless it is disposed of before. */
export class TimeLimit implements Disposable {
  readonly #stop = new AbortController()
  /** Resolves when it is over, or was disposed of; rejects with what `onOver` throws. */
  readonly done: Promise<void>

  constructor(clock: Clock, ms: number, onOver: () => void | Promise<void>) {
    this.done = this.#wait(clock, ms, onOver)
  }

  async #wait(clock: Clock, ms: number, onOver: () => void | Promise<void>): Promise<void> {
    try {
      for (let leftMs = ms; leftMs > 0; leftMs -= napMsMax) {
        await clock.sleep(Math.min(leftMs, napMsMax), this.#stop.signal)
      }
    } catch (error) {
      if (error instanceof CancelledError) return
      throw error
    }
    if (!this.#stop.signal.aborted) await onOver()
  }

  [Symbol.dispose](): void {
    this.#stop.abort()
  }
}

/** `ms` for people, as specs have it: `1h30m`, `90s`, `250ms`. */
export function limitText(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds === 0) return `${ms}ms`
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [Number(((ms / 1000) % 60).toFixed(3)), 's'],
  ] as const
  return parts
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join('')
}
