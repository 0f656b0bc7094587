import type { Clock } from '../../base/clock.ts'
import type { WorkerActivity } from '../active-workers.ts'
import type { RunLog } from '../logs/running-logs.ts'
import { limitText, TimeLimit } from './time-limit.ts'

/** What takes longer is told of in the log. */
export const openingNoteMs = 10_000

/** Tells what a worker waits for before it can begin: until this is disposed of. */
export class OpeningWatch implements Disposable {
  readonly #clock: Clock
  readonly #activity: WorkerActivity
  readonly #log: Pick<RunLog, 'note'>
  #limit: TimeLimit | undefined

  constructor(
    clock: Clock,
    { activity, log }: { readonly activity: WorkerActivity; readonly log: Pick<RunLog, 'note'> },
  ) {
    this.#clock = clock
    this.#activity = activity
    this.#log = log
  }

  /** `what` is for people, as `pulling image a`. */
  set(what: string): void {
    this.#limit?.[Symbol.dispose]()
    this.#activity.opening = { what, since: this.#clock.now() }
    this.#limit = new TimeLimit(this.#clock, openingNoteMs, () => {
      const text = `(${what}, for ${limitText(openingNoteMs)} by now)`
      this.#log.note(text, this.#clock.now())
    })
  }

  [Symbol.dispose](): void {
    this.#limit?.[Symbol.dispose]()
    this.#limit = undefined
    this.#activity.opening = undefined
  }
}
