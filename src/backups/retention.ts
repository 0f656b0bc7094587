import type { Backup } from './backup.ts'
import { snapshotKey, type SnapshotName, type SnapshotScope } from './format.ts'
import { neededObjects } from './taking.ts'

export interface ForgottenSnapshots {
  readonly names: readonly SnapshotName[]
  readonly objectsRemoved: number
}

/**
 * Forgets all but the newest `keepCount` snapshots that are of `scope` and hold all that they name,
 * and removes what only those had that are forgotten. Never the only good one: without one that is, nothing
 * goes. What cannot be read stays, and so does all when a snapshot that stays cannot be read.
 */
export async function forgetSnapshots(
  backup: Backup,
  keepCount: number,
  scope: SnapshotScope = 'whole',
): Promise<ForgottenSnapshots> {
  const names = await backup.snapshots()
  const sizes = new Map<string, number>()
  for (const prefix of ['packs/', 'metadata/']) {
    for await (const { key, sizeBytes } of backup.list(prefix)) sizes.set(key, sizeBytes)
  }
  const needs = new Map<SnapshotName, readonly string[]>()
  const good: SnapshotName[] = []
  for (const name of names) {
    // Thrown to the caller: who knows what it needs?
    const snapshot = await backup.snapshot(name)
    const objects = [...neededObjects(snapshot)]
    needs.set(
      name,
      objects.map(({ key }) => key),
    )
    const isThere = objects.every(({ key, sizeBytes }) => sizes.get(key) === sizeBytes)
    if (isThere && snapshot.scope === scope && snapshot.damaged.length === 0) good.push(name)
  }
  const oldestKept = good.slice(-Math.max(1, keepCount))[0]
  const old = oldestKept === undefined ? [] : names.filter((name) => name < oldestKept)
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
