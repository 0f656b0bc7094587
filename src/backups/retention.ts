import type { Backup } from './backup.ts'
import { damagedAmong, type Pause } from './damaged-objects.ts'
import { snapshotKey, type SnapshotName, type SnapshotScope } from './format.ts'
import { type HeldObjects, heldObjects, lackingObjects, neededObjects } from './needed-objects.ts'

export interface ForgottenSnapshots {
  readonly names: readonly SnapshotName[]
  readonly objectsRemoved: number
  /** Keys of objects that were found damaged; the next backup is to write them anew. */
  readonly damaged: readonly string[]
  /** What is wrong with snapshots that cannot be read, in words that name them. */
  readonly unreadable: readonly string[]
}

/** A snapshot that holds all that it names. */
export interface GoodSnapshot {
  readonly name: SnapshotName
  /** Microseconds since 1970. */
  readonly takenAt: number
}

/** Which of them stay, at least one; they come oldest first. */
export type Retention = (good: readonly GoodSnapshot[]) => readonly GoodSnapshot[]

export function newest(count: number): Retention {
  return (good) => good.slice(-Math.max(1, count))
}

const microsPerHour = 3_600_000_000
const spans = [microsPerHour, 24 * microsPerHour, 7 * 24 * microsPerHour] as const
const keptOfSpan = 3

/**
 * The last one of each of the last three hours, days and weeks that have any, in UTC: however often there are
 * new ones, some are old.
 */
export function spreadOverTime(good: readonly GoodSnapshot[]): readonly GoodSnapshot[] {
  const kept = spans.flatMap((micros) => {
    const lastOf = new Map(good.map((each) => [Math.floor(each.takenAt / micros), each]))
    return [...lastOf.values()].slice(-keptOfSpan)
  })
  return good.filter((each) => kept.includes(each))
}

/**
 * Forgets the snapshots that are of `scope` and hold all that they name, but for those that stay by `retention`,
 * and what is older than all of these; and removes what only those had that are forgotten. Never the only good
 * one: without one that is, nothing goes, and what the oldest that stays has beyond older ones that go is read
 * before, so that none that is whole goes for one that is damaged. A snapshot that cannot be read is as one that
 * has lost something: it holds back no other. With `store`, those of other stores stay, too, and those that cannot be
 * read: a server that was started anew without its data must not forget what it is to be restored from.
 */
export async function forgetSnapshots(
  backup: Backup,
  retention: Retention,
  options: {
    readonly scope?: SnapshotScope
    /** The id of the only store whose snapshots may go. */
    readonly store?: string
    readonly pause: Pause
  },
): Promise<ForgottenSnapshots> {
  const { scope = 'whole', store, pause } = options
  const held = await heldObjects(backup)
  const names: SnapshotName[] = []
  const unreadable: string[] = []
  const needs = new Map<SnapshotName, readonly string[]>()
  let good: readonly GoodSnapshot[] = []
  for (const name of await backup.snapshots()) {
    const snapshot = await backup.snapshotOrDamage(name)
    if (typeof snapshot === 'string') {
      unreadable.push(snapshot)
      // Whose it was is not known.
      if (store === undefined) names.push(name)
      continue
    }
    needs.set(
      name,
      [...neededObjects(snapshot)].map(({ key }) => key),
    )
    if (store !== undefined && snapshot.store !== store) continue
    names.push(name)
    if (snapshot.scope === scope && lackingObjects(held, snapshot).length === 0) {
      good = [...good, { name, takenAt: snapshot.takenAt }]
    }
  }
  const damaged: string[] = []
  const told = { damaged, unreadable }
  for (;;) {
    const staying = retention(good).map(({ name }) => name)
    const [oldestKept] = staying
    if (oldestKept === undefined) return { ...told, names: [], objectsRemoved: 0 }
    const going = good.map(({ name }) => name).filter((name) => !staying.includes(name))
    const older = going.filter((name) => name < oldestKept)
    const keys = beyond(
      needs.get(oldestKept) ?? [],
      older.map((name) => needs.get(name) ?? []),
    )
    const found = await damagedAmong(backup, keys, { pause })
    if (found.length === 0) {
      const old = names.filter((name) => name < oldestKept || going.includes(name))
      return { ...told, names: old, objectsRemoved: await remove(backup, old, { needs, held }) }
    }
    damaged.push(...found)
    good = good.filter(({ name }) => needs.get(name)?.some((key) => found.includes(key)) !== true)
  }
}

/** Those of `keys` that some of the others lack; none when there are no others. */
function beyond(
  keys: readonly string[],
  others: readonly (readonly string[])[],
): readonly string[] {
  const sets = others.map((other) => new Set(other))
  return keys.filter((key) => sets.some((set) => !set.has(key)))
}

/** Removes snapshots, and what no other needs; returns how many objects these are. */
async function remove(
  backup: Backup,
  old: readonly SnapshotName[],
  {
    needs,
    held,
  }: {
    readonly needs: ReadonlyMap<SnapshotName, readonly string[]>
    readonly held: HeldObjects
  },
): Promise<number> {
  const kept = new Set([...needs].flatMap(([name, keys]) => (old.includes(name) ? [] : keys)))
  // First the names, so that no snapshot is ever there without what it needs.
  for (const name of old) await backup.remove(snapshotKey(name))
  const unneeded = new Set(
    old.flatMap((name) => needs.get(name) ?? []).filter((key) => held.has(key) && !kept.has(key)),
  )
  for (const key of unneeded) await backup.remove(key)
  return unneeded.size
}
