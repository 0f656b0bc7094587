import type { Backup } from './backup.ts'
import { snapshotKey, type SnapshotName } from './format.ts'
import { heldObjects, neededObjects } from './needed-objects.ts'

/**
 * What is left to do for old snapshots when all that a server still has was written anew: those that cannot be read
 * are removed, for nothing can be restored from them, and it is told which others need what stays lost.
 */
export async function mendSnapshots(
  backup: Backup,
  {
    made,
    damaged,
    tell,
  }: {
    /** The newest, which has just been written. */
    readonly made: SnapshotName
    /** Keys of objects that are damaged still. */
    readonly damaged: ReadonlySet<string>
    readonly tell: (what: string) => void
  },
): Promise<void> {
  const held = await heldObjects(backup)
  for (const name of await backup.snapshots()) {
    if (name === made) continue
    const snapshot = await backup.snapshotOrDamage(name)
    if (typeof snapshot === 'string') {
      // Read twice: what came broken once may be whole.
      if (typeof (await backup.snapshotOrDamage(name)) !== 'string') continue
      await backup.remove(snapshotKey(name))
      tell(`${snapshot}; nothing could be restored from it, and it was removed`)
      continue
    }
    const needed = [...neededObjects(snapshot)]
    const lost = needed.filter(({ key, sizeBytes }) => {
      return held.get(key) !== sizeBytes || damaged.has(key)
    })
    const [first] = lost
    if (first === undefined) continue
    tell(
      `snapshot ${name} stays damaged: this server does not have ${lost.length} of the ${needed.length} objects that it needs, such as ${first.key}`,
    )
  }
}
