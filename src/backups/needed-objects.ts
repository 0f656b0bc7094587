import type { Backup } from './backup.ts'
import { contentPackKey, metadataPackKey, type Snapshot } from './format.ts'

/** Sizes by key. */
export type HeldObjects = ReadonlyMap<string, number>

/** Everything but snapshots. */
export async function heldObjects(backup: Backup): Promise<HeldObjects> {
  const held = new Map<string, number>()
  for (const prefix of ['packs/', 'metadata/']) {
    for await (const { key, sizeBytes } of backup.list(prefix)) held.set(key, sizeBytes)
  }
  return held
}

interface NeededObject {
  readonly key: string
  readonly sizeBytes: number
}

/**
 * The keys of all objects that are needed to restore a snapshot, besides its own: those of packs, too, that it
 * was made without, since they were damaged in the store.
 */
export function* neededObjects({
  scope,
  metadata,
  packs,
}: Pick<Snapshot, 'scope' | 'metadata' | 'packs'>): Generator<NeededObject> {
  for (const { name, sizeBytes } of metadata?.packs ?? []) {
    yield { key: metadataPackKey(name), sizeBytes }
  }
  if (scope === 'metadata') return
  for (const { name, sizeBytes } of packs) yield { key: contentPackKey(name), sizeBytes }
}

/** Of what a snapshot needs, that which is missing or not as long as it is to be. */
export function lackingObjects(held: HeldObjects, snapshot: Snapshot): readonly string[] {
  return [...neededObjects(snapshot)]
    .filter(({ key, sizeBytes }) => held.get(key) !== sizeBytes)
    .map(({ key }) => key)
}
