import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { CloudEnvironment } from '../clouds/bucket.ts'
import type { Patience } from '../sources/resumed-bytes.ts'
import type { Log } from './log.ts'

/** What a server needs from the world. */
export interface ServerPorts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** The version of this package. */
  readonly release: string
  /** With sources that break; the usual one where it is not said. */
  readonly patience?: Patience
  /** Where credentials of object stores come from; none where it is not said. */
  readonly clouds?: CloudEnvironment
  /** Ends an opening that waits for an object store. */
  readonly giveUp?: AbortSignal
  /** Asks whoever runs the server to close it, and to open one more; none where nobody does. */
  readonly restart?: () => void
}

export const noClouds: CloudEnvironment = { variables: {}, secretsDirectory: '/nonexistent' }
