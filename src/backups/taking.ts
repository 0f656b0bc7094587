import { FailedPreconditionError } from '../base/errors.ts'
import { inParallel } from '../base/parallel.ts'
import type { Backup } from './backup.ts'
import { extract, type ExtractedStore, type ExtractEvent, type KnownObjects } from './extraction.ts'
import {
  contentPackKey,
  metadataPackKey,
  type Snapshot,
  type SnapshotName,
  type SnapshotScope,
} from './format.ts'

/** Objects on their way at once, of up to 40 MiB each. */
const writesMax = 3

/** How far a backup is, and what it has come to. */
export interface BackupCounts {
  readonly packsDone: number
  readonly packsTotal: number
  /** That were not there before. */
  readonly objectsWritten: number
  readonly bytesWritten: number
}

export interface TakenBackup extends BackupCounts {
  readonly name: SnapshotName
  readonly snapshot: Snapshot
}

export interface TakeOptions {
  readonly scope: SnapshotScope
  readonly skipsDamaged: boolean
  readonly signal: AbortSignal
  readonly onProgress?: (counts: BackupCounts) => void
  readonly onDamage?: (what: string) => void
}

/** Adds a snapshot of the store to the backup. What is there already is not written again. */
export async function takeBackup(
  store: ExtractedStore,
  backup: Backup,
  options: TakeOptions,
): Promise<TakenBackup> {
  const { scope, skipsDamaged, signal } = options
  const known = await knownObjects(backup)
  const writing = new BackupWriting(backup, options)
  return await writing.write(extract(store, { scope, skipsDamaged, known, signal }))
}

/** Writes what is extracted, wherever that happens. */
export class BackupWriting {
  readonly #backup: Backup
  readonly #options: Pick<TakeOptions, 'onProgress' | 'onDamage'>
  #counts: BackupCounts = { packsDone: 0, packsTotal: 0, objectsWritten: 0, bytesWritten: 0 }

  constructor(backup: Backup, options: Pick<TakeOptions, 'onProgress' | 'onDamage'>) {
    this.#backup = backup
    this.#options = options
  }

  /** @throws {FailedPreconditionError} when what it relies on is gone at the end. */
  async write(events: AsyncIterable<ExtractEvent>): Promise<TakenBackup> {
    let last: Extract<ExtractEvent, { readonly kind: 'snapshot' }> | undefined
    await inParallel(events, writesMax, async (event) => {
      switch (event.kind) {
        case 'object':
          await this.#write(event)
          break
        case 'progress': {
          const { packsDone, packsTotal } = event
          this.#count({ packsDone, packsTotal })
          break
        }
        case 'damage':
          this.#options.onDamage?.(event.what)
          break
        case 'snapshot':
          last = event
      }
    })
    if (last === undefined) throw new FailedPreconditionError('the backup was not completed')
    const { name, snapshot } = last
    await this.#write(last)
    const missing = await missingObject(this.#backup, snapshot)
    if (missing !== undefined) {
      // Somebody has deleted an old snapshot in between, and with it what this one was to share.
      throw new FailedPreconditionError(
        `${this.#backup.name} lacks ${missing}, which was there when the backup began: make it again`,
      )
    }
    return { ...this.#counts, name, snapshot }
  }

  async #write({
    key,
    bytes,
  }: {
    readonly key: string
    readonly bytes: Uint8Array
  }): Promise<void> {
    await this.#backup.write(key, bytes)
    const { objectsWritten, bytesWritten } = this.#counts
    this.#count({
      objectsWritten: objectsWritten + 1,
      bytesWritten: bytesWritten + this.#backup.storedBytes(bytes.length),
    })
  }

  #count(change: Partial<BackupCounts>): void {
    this.#counts = { ...this.#counts, ...change }
    this.#options.onProgress?.(this.#counts)
  }
}

/** What a backup holds that another snapshot can share. */
export async function knownObjects(backup: Backup): Promise<KnownObjects> {
  const packs = new Set<string>()
  for await (const { key } of backup.list('packs/')) {
    const name = key.slice(-64)
    if (key === contentPackKey(name)) packs.add(name)
  }
  const held = new Set<string>()
  for await (const { key } of backup.list('metadata/')) held.add(key)
  for (const name of (await backup.snapshots()).toReversed()) {
    const { metadata } = await backup.snapshot(name).catch(() => ({ metadata: undefined }))
    // One that lost something is no ground for another.
    if (metadata === undefined) continue
    if (metadata.packs.every((pack) => held.has(metadataPackKey(pack.name)))) {
      return { packs, metadata }
    }
  }
  return { packs, metadata: undefined }
}

/** The keys of all objects that a snapshot needs, besides its own. */
export function* neededObjects({ scope, metadata, packs, damaged }: Snapshot): Generator<{
  readonly key: string
  readonly pack: string
  readonly sizeBytes: number
}> {
  for (const { name, sizeBytes } of metadata?.packs ?? []) {
    yield { key: metadataPackKey(name), pack: name, sizeBytes }
  }
  if (scope === 'metadata') return
  const lost = new Set(damaged)
  for (const { name, sizeBytes } of packs) {
    if (!lost.has(name)) yield { key: contentPackKey(name), pack: name, sizeBytes }
  }
}

async function missingObject(backup: Backup, snapshot: Snapshot): Promise<string | undefined> {
  const sizes = new Map<string, number>()
  for (const prefix of ['packs/', 'metadata/']) {
    for await (const { key, sizeBytes } of backup.list(prefix)) sizes.set(key, sizeBytes)
  }
  for (const { key, sizeBytes } of neededObjects(snapshot)) {
    if (sizes.get(key) !== sizeBytes) return key
  }
  return undefined
}
