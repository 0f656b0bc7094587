import type { Instant } from '../../base/clock.ts'
import { pollMs } from './schedule-model.ts'

const microsPerMilli = 1000
/** From a look at the clock to the commit that follows it takes no longer, but where the clock is set. */
const lagMicros = 15_000_000

/** Times in which nobody looked at the clock, since the server was down, or that somebody left out by setting it. */
export class ClockGaps {
  readonly #gaps: { readonly from: Instant; readonly to: Instant }[] = []

  add(from: Instant, to: Instant): void {
    this.#gaps.push({ from, to })
  }

  /** Whoever committed at `at` looked at the clock then or later. */
  before(at: Instant): Instant {
    let before = at - lagMicros
    for (const { from, to } of this.#gaps.toReversed()) {
      if (to > before && from < at) before = Math.min(before, from - lagMicros)
    }
    return before
  }

  /** What was due then or later may be done at `at` only: who looks at the clock has to notice first that it was set. */
  dueSince(at: Instant): Instant {
    let since = this.before(at)
    for (const { from, to } of this.#gaps.toReversed()) {
      if (to + pollMs * microsPerMilli > since && from < at)
        since = Math.min(since, from - lagMicros)
    }
    return since
  }

  /** From then until `time` the clock was looked at. */
  wakefulSince(time: Instant): Instant {
    return Math.max(0, ...this.#gaps.filter(({ from }) => from <= time).map(({ to }) => to))
  }
}
