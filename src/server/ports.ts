import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { Log } from './log.ts'

/** What a server needs from the world. */
export interface ServerPorts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** The version of this package. */
  readonly release: string
}
