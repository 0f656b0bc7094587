import type { Instant } from '../../base/clock.ts'
import type { Database } from '../../database/database.ts'
import { scheduledTriggers, tick, type TriggerState } from '../../versioning/branch-triggers.ts'
import type { OnHeadReady } from '../../versioning/ports.ts'
import { parseSchedule, type Schedule } from './schedule.ts'

/** A trigger that waits for a clock. */
interface Ticking {
  readonly trigger: TriggerState
  readonly schedule: Schedule
  lastTick: Instant
}

/**
 * The clocks of branch triggers. Of ticks whose time passed while the server was stopped the latest
 * counts: a branch moves to the head of now, however often it could have moved.
 */
export class BranchTicks {
  readonly #database: Database
  readonly #onHeadReady: OnHeadReady
  #ticking: readonly Ticking[] = []

  constructor(ports: { readonly database: Database; readonly onHeadReady: OnHeadReady }) {
    this.#database = ports.database
    this.#onHeadReady = ports.onHeadReady
  }

  /** Has the triggers be looked up anew. */
  async lookUp(): Promise<void> {
    const ticking: Ticking[] = []
    for (const trigger of await this.#database.read(scheduledTriggers)) {
      const schedule = await parseSchedule(trigger.schedule, '')
      ticking.push({ trigger, schedule, lastTick: trigger.lastTick })
    }
    this.#ticking = ticking
  }

  /** Makes the ticks that are due, and tells when the next one is. */
  async makeDue(now: Instant): Promise<Instant | undefined> {
    let next: Instant | undefined
    for (const ticking of this.#ticking) {
      const { schedule, trigger } = ticking
      const due = schedule.lastWithin(ticking.lastTick, now)
      if (due !== undefined) {
        await this.#database.transact(async (tx) => {
          const heads = await tick(tx, trigger, due)
          if (heads.length > 0) await this.#onHeadReady(tx, heads)
        })
        ticking.lastTick = due
      }
      const after = schedule.after(ticking.lastTick)
      if (after !== undefined) next = Math.min(next ?? after, after)
    }
    return next
  }
}
