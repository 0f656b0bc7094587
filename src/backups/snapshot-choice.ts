import { countText } from '../base/counts.ts'
import type { Backup } from './backup.ts'
import {
  decodeSnapshot,
  type Snapshot,
  snapshotKey,
  type SnapshotName,
  type StoreCounts,
} from './format.ts'

/** A snapshot, and what it says. */
export interface NamedSnapshot {
  readonly name: SnapshotName
  readonly snapshot: Snapshot
}

/** A snapshot that is to be restored. */
export interface ChosenSnapshot extends NamedSnapshot {
  /** Its object. */
  readonly bytes: Uint8Array
  /** Where nobody has named one: the newest one of each other store that the place holds, the newest first. */
  readonly others: readonly NamedSnapshot[]
}

/**
 * The snapshot whose name begins with `text`; for an empty text the newest one that a server can be made of.
 *
 * @throws as `findToRestore`.
 */
export async function chooseSnapshot(backup: Backup, text: string): Promise<ChosenSnapshot> {
  const name = await backup.findToRestore(text)
  const bytes = await backup.read(snapshotKey(name))
  const snapshot = decodeSnapshot(name, bytes)
  const others = text === '' ? await newestOfOthers(backup, snapshot.store) : []
  return { name, bytes, snapshot, others }
}

async function newestOfOthers(backup: Backup, store: string): Promise<readonly NamedSnapshot[]> {
  const newest = new Map<string, NamedSnapshot>()
  for (const name of (await backup.snapshots()).toReversed()) {
    const snapshot = await backup.snapshotOrDamage(name)
    if (typeof snapshot === 'string' || snapshot.scope === 'data') continue
    if (snapshot.store === store || newest.has(snapshot.store)) continue
    newest.set(snapshot.store, { name, snapshot })
  }
  return [...newest.values()]
}

/** What tells people one snapshot from another. */
export interface SnapshotFacts {
  readonly name: string
  readonly store: string
  readonly counts?: StoreCounts | undefined
}

export function factsOf({ name, snapshot: { store, counts } }: NamedSnapshot): SnapshotFacts {
  return { name, store, counts }
}

const shownDigits = 8

/** As `of store 3bebebfa with 2 repos and 7 commits`: its id begins like that in the data directory's `version`. */
export function ofStoreText({ store, counts }: Pick<SnapshotFacts, 'store' | 'counts'>): string {
  const name = `of store ${store.slice(0, shownDigits) || 'unknown'}`
  if (counts === undefined) return name
  const { repos, commits } = counts
  return `${name} with ${countText(repos, 'repo')} and ${countText(commits, 'commit')}`
}

/** As `taken 2026-11-26 10:30:00 UTC of store 3bebebfa with 2 repos and 7 commits`. */
export function takenText(facts: SnapshotFacts): string {
  const time = facts.name
    .slice(0, '20261126T103000'.length)
    .replace(/^(....)(..)(..)T(..)(..)(..)$/, '$1-$2-$3 $4:$5:$6')
  return `taken ${time} UTC ${ofStoreText(facts)}`
}

/** Which snapshot was chosen where nobody has named one, and how to name another; no lines where there is one store. */
export function choiceLines(
  place: string,
  taken: SnapshotFacts,
  others: readonly SnapshotFacts[],
): readonly string[] {
  if (others.length === 0) return []
  return [
    `${place} holds snapshots of ${others.length + 1} stores, and none was named: the newest comes, ${ofStoreText(taken)}`,
    ...others.map((other) => `  --snapshot ${startOf(other)} is the newest ${ofStoreText(other)}`),
  ]
}

/** What a backup says that was made where the newest snapshot was another store's. */
export function otherStoreText(
  place: string,
  { before, made }: { readonly before: SnapshotFacts; readonly made: SnapshotFacts },
): string {
  return `the newest snapshot in ${place} was ${ofStoreText(before)}, and now is this one ${ofStoreText(made)}, which a restore takes that names none; --snapshot ${startOf(before)} takes the other. Unless this server goes on for that one, give each a place of its own`
}

/** Enough of its name: the time, to the microsecond. */
function startOf({ name }: SnapshotFacts): string {
  return name.replace(/-.*/, '')
}
