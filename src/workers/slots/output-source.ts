import type { WorkMember } from '../../pipelines/datum-worker.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { PfsPlace } from './pfs-links.ts'

/** What there is to know about a slot after its command has ended. */
export interface OutputSource extends PfsPlace {
  /** Whether user code could not change inputs. */
  readonly isInputReadOnly: boolean
  readonly members: readonly WorkMember[]
  /** What `out` held before. */
  readonly formerOutput?: DirectoryEntry | undefined
  /** From `WrittenInputs`: what was not changed since is as it is in its tree. */
  readonly writtenAt: bigint | undefined
  /** Whether it is known without a look that there is nothing in `out`. */
  readonly isEmpty?: boolean
}
