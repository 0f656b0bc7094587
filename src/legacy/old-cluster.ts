import type { OnDamage } from './damage.ts'
import type { OldObjects } from './old-objects.ts'
import type { OldCatalog, OldCommitName, OldWrite } from './old-records.ts'

/** A cluster of 1.4 or 1.5, as far as it is read: nothing here writes to it. */
export interface OldCluster extends AsyncDisposable {
  /** For people. */
  readonly name: string
  readonly objects: OldObjects
  /** What it says of itself; `onDamage` hears of each record that cannot be read. */
  catalog(onDamage: OnDamage): Promise<OldCatalog>
  /** What was put into an open commit, in order. */
  writes(commit: OldCommitName, onDamage: OnDamage): Promise<readonly OldWrite[]>
  /** Whether somebody has written to it since `catalog`. */
  hasChanged(): Promise<boolean>
}
