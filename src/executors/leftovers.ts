import { type Clock, waitAtMost } from '../base/clock.ts'

/** Something that an executor made, and that stays in nobody's way until it can be removed. */
export interface Leftover {
  /** For people: what it is, and where. */
  readonly what: string
  /** False when it is not there yet, and may still come. @throws with the reason when it has to stay. */
  readonly remove: () => Promise<boolean>
}

/** Between tries: the first, then twice as long each, up to the last. */
const pauseMsMin = 5000
const pauseMsMax = 300_000
/** Who ends does not wait for long: the next server removes what is left. */
const endMsMax = 2000
const reasonLengthMax = 300
const toldCountMax = 10

/**
 * Removes what is left of slots, now or later. That something has to stay, as files that nobody may remove
 * do, or processes that wait for a disk, is told, and keeps nobody from going on.
 */
export class Leftovers implements AsyncDisposable {
  readonly #clock: Clock
  readonly #closing = new AbortController()
  /** With the reasons for which they stay; without one, they are waited for. */
  readonly #left = new Map<Leftover, string | undefined>()
  #wakeUp = new AbortController()
  #trying: Promise<void> | undefined
  #pauseMs = pauseMsMin

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** For people: what has to stay for now, and why. */
  get texts(): readonly string[] {
    const texts = Array.from(this.#left).flatMap(([{ what }, reason]) =>
      reason === undefined ? [] : [`${what} cannot be removed now, and is tried again: ${reason}`],
    )
    const more = texts.length - toldCountMax
    if (more <= 0) return texts
    return [...texts.slice(0, toldCountMax), `${more} more of the kind cannot be removed now`]
  }

  /** Tries it at once, and resolves; what has to stay is tried again and again. */
  async remove(leftover: Leftover): Promise<void> {
    await this.#try(leftover)
    if (this.#left.size > 0 && !this.#closing.signal.aborted) this.#trying ??= this.#tryOn()
  }

  /** There is reason to hope that more can be removed now. */
  wake(): void {
    this.#pauseMs = pauseMsMin
    this.#wakeUp.abort()
  }

  async #tryOn(): Promise<void> {
    const { signal } = this.#closing
    while (this.#left.size > 0 && !signal.aborted) {
      await this.#pause()
      if (signal.aborted) break
      const count = this.#left.size
      await Promise.all(Array.from(this.#left.keys(), (leftover) => this.#try(leftover)))
      this.#pauseMs = this.#left.size < count ? pauseMsMin : Math.min(pauseMsMax, this.#pauseMs * 2)
    }
    this.#trying = undefined
  }

  async #pause(): Promise<void> {
    this.#wakeUp = new AbortController()
    const signal = AbortSignal.any([this.#closing.signal, this.#wakeUp.signal])
    await this.#clock.sleep(this.#pauseMs, signal).catch(() => {})
  }

  async #try(leftover: Leftover): Promise<void> {
    try {
      if (await leftover.remove()) this.#left.delete(leftover)
      else this.#left.set(leftover, undefined)
    } catch (error) {
      this.#left.set(leftover, reasonOf(error))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    if (this.#trying !== undefined) await waitAtMost(this.#clock, endMsMax, this.#trying)
  }
}

/** Of programs that failed, what they said first. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const [first = '', said = ''] = text.split('\n').filter((line) => line.trim() !== '')
  return (first.startsWith('Command failed: ') && said !== '' ? said : first).slice(
    0,
    reasonLengthMax,
  )
}
