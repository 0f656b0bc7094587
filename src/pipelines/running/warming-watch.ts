import type { Clock } from '../../base/clock.ts'
import type { RunLog } from '../logs/running-logs.ts'
import type { PipelineSpec } from '../specs.ts'
import type { Interruption } from './interruption.ts'
import { limitText, TimeLimit } from './time-limit.ts'

/** So long a warm command may take to say that it is ready, in a pipeline that has no `datum_timeout`. */
export const warmingMsMax: number = 15 * 60_000
/** A command that takes longer is told of in the log. */
export const warmingNoteMs = 60_000

const advice = 'it must write "ready" to descriptor 3, once (docs/executors.md, "Warm commands")'

interface WarmingOf {
  readonly spec: Pick<PipelineSpec, 'datumTimeoutMs'>
  readonly interruption: Interruption
  readonly log: Pick<RunLog, 'note'>
}

/** Sees to it that a datum whose warm command never says that it is ready does not wait in silence. */
export class WarmingWatch implements Disposable {
  readonly #clock: Clock
  readonly #of: WarmingOf
  #limits: DisposableStack | undefined

  constructor(clock: Clock, of: WarmingOf) {
    this.#clock = clock
    this.#of = of
  }

  set(isWarming: boolean): void {
    this.#limits?.dispose()
    this.#limits = isWarming ? this.#begin() : undefined
  }

  /** Why a datum was ended at the `datum_timeout`. */
  get timeoutText(): string {
    const text = `it ran longer than the datum_timeout of ${limitText(this.#of.spec.datumTimeoutMs ?? 0)}`
    return this.#limits === undefined
      ? text
      : `${text}, and the warm command had not said "ready" yet: ${advice}`
  }

  #begin(): DisposableStack {
    const { spec, interruption, log } = this.#of
    const limits = new DisposableStack()
    const note = (): void => {
      const text = `waits for the warm command to say "ready", for ${limitText(warmingNoteMs)} by now: ${advice}`
      log.note(text, this.#clock.now())
    }
    limits.use(new TimeLimit(this.#clock, warmingNoteMs, note))
    if (spec.datumTimeoutMs === undefined) {
      const text = `the warm command had not said "ready" after ${limitText(warmingMsMax)}: ${advice}; set datum_timeout if it needs longer`
      limits.use(new TimeLimit(this.#clock, warmingMsMax, () => interruption.end(text)))
    }
    return limits
  }

  [Symbol.dispose](): void {
    this.set(false)
  }
}
