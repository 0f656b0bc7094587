import { DataLossError, FailedPreconditionError } from '../base/errors.ts'
import { inParallel } from '../base/parallel.ts'
import type { Backup } from './backup.ts'
import { damagedAmong, type Pause, pauses } from './damaged-objects.ts'
import { extract, type ExtractedStore, type ExtractEvent, type KnownObjects } from './extraction.ts'
import {
  contentPackKey,
  metadataPackKey,
  type Snapshot,
  type SnapshotName,
  type SnapshotScope,
} from './format.ts'
import { mendSnapshots } from './mending.ts'
import { type HeldObjects, heldObjects, lackingObjects } from './needed-objects.ts'
import type { NamedSnapshot } from './snapshot-choice.ts'

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
  /** The newest snapshot that was there before, when it is another store's. */
  readonly other: NamedSnapshot | undefined
}

export interface WriteOptions {
  /** Keys of objects of the backup that are damaged, and to be written anew. */
  readonly damaged?: Iterable<string>
  /** Read all that the backup has, and write anew what is damaged. */
  readonly repairs?: boolean
  readonly pause: Pause
  readonly onProgress?: (counts: BackupCounts) => void
  readonly onDamage?: (what: string) => void
}

export interface TakeOptions extends Omit<WriteOptions, 'pause'> {
  readonly scope: SnapshotScope
  readonly skipsDamaged: boolean
  readonly signal: AbortSignal
}

/** Adds a snapshot of the store to the backup. What is there already is not written again. */
export async function takeBackup(
  store: ExtractedStore,
  backup: Backup,
  options: TakeOptions,
): Promise<TakenBackup> {
  const { scope, skipsDamaged, signal } = options
  const pause = pauses(store.clock, signal, 'the backup')
  const extractMissing = (known: KnownObjects): AsyncIterable<ExtractEvent> =>
    extract(store, { scope, skipsDamaged, known, signal })
  return await writeBackup(backup, extractMissing, { ...options, pause })
}

/** So often a backup is begun anew, when objects that it was to share are gone or damaged. */
const roundsMax = 3

/**
 * Writes what `extractMissing` yields, wherever that happens; it is called again when something that it left
 * out is not as it is to be. The snapshot comes last, when all that it needs is there.
 *
 * @throws {FailedPreconditionError} when what it relies on is gone at the end, again and again.
 */
export async function writeBackup(
  backup: Backup,
  extractMissing: (known: KnownObjects) => AsyncIterable<ExtractEvent>,
  options: WriteOptions,
): Promise<TakenBackup> {
  const damaged = new Set(options.damaged)
  if (options.repairs === true) {
    for (const key of await allDamaged(backup, options)) damaged.add(key)
  }
  const writing = new BackupWriting(backup, options)
  let lacking: readonly string[] = []
  const before = await newestReadable(backup)
  for (let round = 0; round < roundsMax; round += 1) {
    const held = await heldObjects(backup)
    const onUnreadable = round === 0 && options.repairs !== true ? options.onDamage : undefined
    const known = await knownObjects(backup, { held, damaged, tell: onUnreadable })
    const { event, written } = await writing.write(extractMissing(known), held, damaged)
    // What was sent is right from now on.
    for (const key of written) damaged.delete(key)
    lacking = await lostSince(backup, event.snapshot)
    if (lacking.length === 0) {
      await writing.writeSnapshot(event)
      // Somebody may have deleted an old snapshot in between, and with it what this one was to share.
      lacking = await lostSince(backup, event.snapshot)
      const { name, snapshot } = event
      if (lacking.length === 0) {
        const tell = options.onDamage ?? (() => undefined)
        if (options.repairs === true) await mendSnapshots(backup, { made: name, damaged, tell })
        const other = before?.snapshot.store === snapshot.store ? undefined : before
        return { ...writing.counts, name, snapshot, other }
      }
      await backup.remove(event.key)
    }
    for (const key of lacking) damaged.add(key)
  }
  throw new FailedPreconditionError(
    `${backup.name} lacks ${lacking[0] ?? ''} each time that it was written: let nobody delete from it meanwhile, and make the backup again`,
  )
}

type SnapshotEvent = Extract<ExtractEvent, { readonly kind: 'snapshot' }>

class BackupWriting {
  readonly #backup: Backup
  readonly #options: WriteOptions
  #counts: BackupCounts = { packsDone: 0, packsTotal: 0, objectsWritten: 0, bytesWritten: 0 }

  constructor(backup: Backup, options: WriteOptions) {
    this.#backup = backup
    this.#options = options
  }

  get counts(): BackupCounts {
    return this.#counts
  }

  /** Writes all but the snapshot; in the place of what is damaged. */
  async write(
    events: AsyncIterable<ExtractEvent>,
    held: HeldObjects,
    damaged: ReadonlySet<string>,
  ): Promise<{ readonly event: SnapshotEvent; readonly written: readonly string[] }> {
    let last: SnapshotEvent | undefined
    const written: string[] = []
    await inParallel(
      events,
      () => this.#backup.writesMax,
      async (event) => {
        switch (event.kind) {
          case 'object': {
            const { key, bytes } = event
            const sizeBytes = held.get(key)
            const isWhole = sizeBytes === undefined || sizeBytes === bytes.length
            if (isWhole && !damaged.has(key)) await this.#backup.write(key, bytes)
            else await this.#backup.replace(key, bytes)
            written.push(key)
            this.#countWritten(bytes)
            break
          }
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
      },
    )
    if (last === undefined) throw new FailedPreconditionError('the backup was not completed')
    return { event: last, written }
  }

  async writeSnapshot({ key, bytes }: SnapshotEvent): Promise<void> {
    await this.#backup.write(key, bytes)
    this.#countWritten(bytes)
  }

  #countWritten(bytes: Uint8Array): void {
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

async function allDamaged(
  backup: Backup,
  { pause, onProgress }: WriteOptions,
): Promise<readonly string[]> {
  const held = await heldObjects(backup)
  return await damagedAmong(backup, held.keys(), {
    pause,
    onRead: (count) =>
      onProgress?.({ packsDone: count, packsTotal: held.size, objectsWritten: 0, bytesWritten: 0 }),
  })
}

/**
 * What a backup holds that another snapshot can share: all of the size that snapshots say, and not damaged.
 * Tells which snapshots newer than that could not be read.
 */
async function knownObjects(
  backup: Backup,
  {
    held,
    damaged,
    tell,
  }: {
    readonly held: HeldObjects
    readonly damaged: ReadonlySet<string>
    readonly tell: ((what: string) => void) | undefined
  },
): Promise<KnownObjects> {
  const packs = new Set<string>()
  for (const key of held.keys()) {
    const name = key.slice(-64)
    if (key === contentPackKey(name) && !damaged.has(key)) packs.add(name)
  }
  for (const name of (await backup.snapshots()).toReversed()) {
    const snapshot = await backup.snapshot(name).catch((error: unknown) => {
      if (error instanceof DataLossError) {
        tell?.(`${error.message}; nothing can be restored from it, and --repair removes it`)
      }
      return undefined
    })
    if (snapshot === undefined) continue
    for (const pack of snapshot.packs) {
      if (held.get(contentPackKey(pack.name)) !== pack.sizeBytes) packs.delete(pack.name)
    }
    const { metadata } = snapshot
    const isWhole = metadata?.packs.every((pack) => {
      const key = metadataPackKey(pack.name)
      return held.get(key) === pack.sizeBytes && !damaged.has(key)
    })
    // One that lost something is no ground for another.
    if (isWhole === true) return { packs, metadata }
  }
  return { packs, metadata: undefined }
}

async function newestReadable(backup: Backup): Promise<NamedSnapshot | undefined> {
  for (const name of (await backup.snapshots()).toReversed()) {
    const snapshot = await backup.snapshotOrDamage(name)
    if (typeof snapshot !== 'string') return { name, snapshot }
  }
  return undefined
}

/** Of what a snapshot was made with, that which is not there as it is to be. */
async function lostSince(backup: Backup, snapshot: Snapshot): Promise<readonly string[]> {
  const leftOut = new Set(snapshot.damaged.map(contentPackKey))
  const lacking = lackingObjects(await heldObjects(backup), snapshot)
  return lacking.filter((key) => !leftOut.has(key))
}
