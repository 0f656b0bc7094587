import { lstatSync } from 'node:fs'

import type { Instant } from '../../base/clock.ts'
import { emptyDirectory } from './emptying.ts'

/** File systems stamp changes by a clock that ticks: a change soon after another may not show. */
const tickMicrosMax = 1_000_000
const nanosPerMicro = 1000n

/**
 * Whether something still is as it was when it had this change time, as far as user code goes, which
 * has run since `ranFrom`: whatever changes, be it rights or names in a directory, moves that time.
 */
export function isUnchanged(
  changedAt: bigint,
  before: bigint | undefined,
  ranFrom: Instant,
): boolean {
  return changedAt === before && changedAt < BigInt(ranFrom - tickMicrosMax) * nanosPerMicro
}

/** A directory that is emptied after each datum, and not even looked into when nothing came there. */
export class EmptiedDirectory {
  readonly path: string
  readonly #mode: number
  /** Its change time when it was empty. */
  #emptyAt: bigint | undefined

  constructor(path: string, mode: number) {
    this.path = path
    this.#mode = mode
  }

  /** User code has run since `ranFrom`, and does not any more. */
  async empty(ranFrom: Instant): Promise<void> {
    if (isUnchanged(this.#changedAt, this.#emptyAt, ranFrom)) return
    await emptyDirectory(this.path, this.#mode)
    this.#emptyAt = this.#changedAt
  }

  get #changedAt(): bigint {
    return lstatSync(this.path, { bigint: true }).ctimeNs
  }
}
