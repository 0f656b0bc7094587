import type { CheckRun, Found } from '../../base/check-run.ts'
import { storageFinding } from '../storage-findings.ts'

/** Causes that are told one by one. */
const causesMax = 1000
/** Causes beyond those that are counted: some 20 MiB. */
const countedMax = 100_000
/** What cannot be read because of one cause, told by name. */
const namesMax = 20

/** A cause of damage: a pack or a chunk. */
export type CauseKey =
  | `pack ${string}`
  | `chunk ${string}`
  | `missing ${string}`
  | `entry ${string}`

export interface CauseOptions {
  /** It is told only if something that exists refers to it. */
  readonly ifNeeded?: boolean
  /** Nothing of it can be read, though a server may have it open still. */
  readonly isLoss?: boolean
  /**
   * It is repaired only if all that exists could be read: below what cannot be, something may need
   * it of which nobody knows.
   */
  readonly repairUnneeded?: boolean
}

interface Cause {
  readonly found: Found
  readonly options: CauseOptions
  readonly names: string[]
  count: number
}

/**
 * Damage that has been found, until it is known what cannot be read because of it. At most 1,000
 * causes; of what comes beyond, the count, up to 100,000.
 */
export class DamageLedger {
  readonly #causes = new Map<CauseKey, Cause>()
  /** Beyond those; of what is met again and again, once. */
  readonly #more = new Set<CauseKey>()

  get isEmpty(): boolean {
    return this.#causes.size === 0
  }

  has(key: CauseKey): boolean {
    return this.#causes.has(key)
  }

  /** Whether it is known that nothing of a cause can be read. */
  isLost(key: CauseKey): boolean {
    return this.#causes.get(key)?.options.isLoss === true
  }

  /** The first finding of a cause stands. */
  add(key: CauseKey, found: Found, options: CauseOptions = {}): void {
    if (this.#causes.has(key)) return
    if (this.#causes.size >= causesMax) {
      if (this.#more.size < countedMax) this.#more.add(key)
    } else this.#causes.set(key, { found, options, names: [], count: 0 })
  }

  /** An entry that is wrong where it was first met, though all chunks are there. */
  addEntry(name: string, found: Found, where: string): void {
    const key: CauseKey = `entry ${name}`
    if (this.#causes.has(key)) return
    this.add(key, found)
    this.note(key, where, 1)
  }

  /** Says that something cannot be read; it stands for `count` files. */
  note(key: CauseKey, name: string, count: number): void {
    const cause = this.#causes.get(key)
    if (cause === undefined) return
    cause.count += count
    if (cause.names.length < namesMax) {
      cause.names.push(count === 1 ? name : `${name} (${count} files)`)
    }
  }

  /** Whether something that exists cannot be read, or may be so. */
  get hidesSomething(): boolean {
    return this.#more.size > 0 || [...this.#causes.values()].some(({ count }) => count > 0)
  }

  /**
   * Reports everything; what only matters to what is gone meanwhile is left out. `isWhole`: nothing
   * else is wrong with what exists.
   */
  async reportAll(run: CheckRun, isWhole: boolean): Promise<void> {
    const isAllKnown = isWhole && !this.hidesSomething
    for (const { found, options, names, count } of this.#causes.values()) {
      if (options.ifNeeded === true && count === 0) continue
      const { repair, ...rest } = found
      const stays = repair === undefined || (options.repairUnneeded === true && !isAllKnown)
      await run.report({ ...rest, affected: { names, count }, ...(stays ? {} : { repair }) })
    }
    const { size } = this.#more
    if (size === 0) return
    await run.report({
      kind: storageFinding('more-damage'),
      subject: {},
      what: `${size === countedMax ? 'at least ' : ''}${size} more places are damaged`,
    })
  }
}
