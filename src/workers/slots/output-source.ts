import type { WorkMember } from '../../pipelines/datum-worker.ts'
import type { PfsPlace } from './pfs-links.ts'

/** What there is to know about a slot after its command has ended. */
export interface OutputSource extends PfsPlace {
  readonly members: readonly WorkMember[]
  /** From `WrittenInputs`: inputs that were not changed since are as they are in their trees. */
  readonly writtenAt: bigint
}
