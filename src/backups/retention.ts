import type { Backup } from './backup.ts'
import { snapshotKey, type SnapshotName, type SnapshotScope } from './format.ts'
import { neededObjects } from './taking.ts'

export interface ForgottenSnapshots {
  readonly names: readonly SnapshotName[]
  readonly objectsRemoved: number
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
 * one: without one that is, nothing goes. What cannot be read stays, and so does all when a snapshot that stays
 * cannot be read.
 */
export async function forgetSnapshots(
  backup: Backup,
  retention: Retention,
  scope: SnapshotScope = 'whole',
): Promise<ForgottenSnapshots> {
  const names = await backup.snapshots()
  const sizes = new Map<string, number>()
  for (const prefix of ['packs/', 'metadata/']) {
    for await (const { key, sizeBytes } of backup.list(prefix)) sizes.set(key, sizeBytes)
  }
  const needs = new Map<SnapshotName, readonly string[]>()
  const good: GoodSnapshot[] = []
  for (const name of names) {
    // Thrown to the caller: who knows what it needs?
    const snapshot = await backup.snapshot(name)
    const objects = [...neededObjects(snapshot)]
    needs.set(
      name,
      objects.map(({ key }) => key),
    )
    const isThere = objects.every(({ key, sizeBytes }) => sizes.get(key) === sizeBytes)
    if (isThere && snapshot.scope === scope && snapshot.damaged.length === 0) {
      good.push({ name, takenAt: snapshot.takenAt })
    }
  }
  const staying = retention(good).map(({ name }) => name)
  const [oldestKept] = staying
  if (oldestKept === undefined) return { names: [], objectsRemoved: 0 }
  const going = new Set(good.map(({ name }) => name).filter((name) => !staying.includes(name)))
  const old = names.filter((name) => name < oldestKept || going.has(name))
  if (old.length === 0) return { names: [], objectsRemoved: 0 }
  const kept = new Set(
    names.filter((name) => !old.includes(name)).flatMap((name) => needs.get(name) ?? []),
  )
  // First the names, so that no snapshot is ever there without what it needs.
  for (const name of old) await backup.remove(snapshotKey(name))
  const unneeded = new Set(
    old.flatMap((name) => needs.get(name) ?? []).filter((key) => !kept.has(key)),
  )
  for (const key of unneeded) await backup.remove(key)
  return { names: old, objectsRemoved: unneeded.size }
}
