import type { Clock } from '../base/clock.ts'
import { CancelledError, FailedPreconditionError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { Backup } from './backup.ts'
import { extract, type ExtractedStore, type ExtractEvent, type KnownObjects } from './extraction.ts'
import type { SnapshotName, SnapshotScope } from './format.ts'
import type { BackupPlace } from './place.ts'
import { bringObject, missingObjects } from './restore-reads.ts'
import {
  type LostObject,
  type MissingObjects,
  Restore,
  type RestorePorts,
  type RestoreWish,
} from './restoring.ts'
import type { BackupSecret } from './sealing.ts'
import { type ChosenSnapshot, chooseSnapshot } from './snapshot-choice.ts'
import { type TakenBackup, takeBackup, type TakeOptions } from './taking.ts'
import { listSnapshots, verifyBackup, type VerifyEvent } from './verifying.ts'

/** A backup that the server itself reads or writes. */
export interface NamedPlace {
  readonly url: string
  readonly secret: BackupSecret | undefined
}

export interface StoreBackupsPorts {
  readonly store: ExtractedStore
  /** @throws {DomainError} for a place that is not this server's business. */
  readonly openPlace: (
    url: string,
    signal: AbortSignal,
    use?: 'read' | 'write',
  ) => Promise<BackupPlace>
  /** The id of the backup of metadata that is kept beside the packs, when there is one. */
  readonly ownBackupId: () => Promise<string | undefined>
  readonly restore: RestorePorts
  /** @throws {FailedPreconditionError} when the store holds something that a restore would lose. */
  readonly requireEmpty: () => Promise<void>
  /** The snapshot that the server was restored from, if it was. */
  readonly restoredFrom: () => Promise<string | undefined>
  /** Writes down which snapshot the metadata are of that the next start will take. */
  readonly noteRestored: (snapshot: string) => Promise<void>
  /** The server ends in good order, and starts once more. */
  readonly restart: () => void
  readonly random: Random
  readonly clock: Clock
}

export interface RestoreCounts {
  readonly snapshot: SnapshotName
  readonly objectsDone: number
  readonly objectsTotal: number
  readonly bytesRead: number
  /** Packs that have come damaged or not at all since the last one, where that is tolerated. */
  readonly lost: readonly LostObject[]
  /** Told first, before anything comes. */
  readonly choice?: ChosenSnapshot
}

/** Backups of a server that runs, and restores into it. */
export class StoreBackups implements AsyncDisposable {
  readonly #ports: StoreBackupsPorts
  #isTaking = false
  #restore: Restore | undefined

  constructor(ports: StoreBackupsPorts) {
    this.#ports = ports
  }

  /**
   * Callers may name a directory of this machine by ways that only its files can tell.
   *
   * @throws {FailedPreconditionError} when a backup is the one that is kept beside the packs.
   */
  async requireForeign(backupId: string): Promise<void> {
    if (backupId === '' || backupId !== (await this.#ports.ownBackupId())) return
    throw new FailedPreconditionError(
      'the backup would be among the packs of this server, in a data directory of pachd, and would be deleted with them: choose a place outside, best on another disk',
    )
  }

  /** The objects of a backup, for whoever writes them elsewhere. One backup at a time. */
  async *extract(options: {
    readonly scope: SnapshotScope
    readonly skipsDamaged: boolean
    readonly known: KnownObjects
    readonly signal: AbortSignal
  }): AsyncGenerator<ExtractEvent> {
    using _ = this.#begin()
    yield* extract(this.#ports.store, options)
  }

  /** Adds a snapshot to a backup that the server can reach. */
  async take({ url, secret }: NamedPlace, options: TakeOptions): Promise<TakenBackup> {
    using _ = this.#begin()
    await using place = await this.#ports.openPlace(url, options.signal, 'write')
    const backup = await Backup.openOrCreate(place, { secret, random: this.#ports.random })
    return await takeBackup(this.#ports.store, backup, options)
  }

  /** @param snapshot the beginning of a name; empty for all of them. */
  async *verify(
    { url, secret }: NamedPlace,
    snapshot: string,
    { listsOnly, signal }: { readonly listsOnly: boolean; readonly signal: AbortSignal },
  ): AsyncGenerator<VerifyEvent> {
    await using place = await this.#ports.openPlace(url, signal)
    const backup = await Backup.open(place, { secret, random: this.#ports.random })
    const names = snapshot === '' ? undefined : [await backup.find(snapshot)]
    if (listsOnly) {
      yield* listSnapshots(backup, names)
      return
    }
    const { scratchDirectory } = this.#ports.store
    yield* verifyBackup(backup, names, { clock: this.#ports.clock, scratchDirectory, signal })
  }

  /** @throws {FailedPreconditionError} when the server is not empty, or is too old for it. */
  async beginRestore(wish: RestoreWish): Promise<MissingObjects> {
    const restore = await this.#beginRestore(wish)
    const missing = await restore.missing()
    await restore.requireRoom(missing)
    return missing
  }

  async #beginRestore(wish: RestoreWish): Promise<Restore> {
    await this.#ports.requireEmpty()
    await this.#restore?.[Symbol.asyncDispose]()
    this.#restore = undefined
    this.#restore = await Restore.begin(this.#ports.restore, wish)
    return this.#restore
  }

  /** Returns what is wrong with it, where that is tolerated. */
  async putRestored(key: string, bytes: Uint8Array): Promise<LostObject | undefined> {
    if (this.#restore === undefined) throw notBegun()
    return await this.#restore.put(key, bytes)
  }

  /**
   * True when the server has been asked to start once more; false when it has done so.
   *
   * @throws {FailedPreconditionError} when something has not come, or nothing was begun.
   */
  async finishRestore(snapshot: string): Promise<boolean> {
    const restore = this.#restore
    if (restore?.name !== snapshot) {
      if ((await this.#ports.restoredFrom()) === snapshot) return false
      throw notBegun()
    }
    await this.#ports.requireEmpty()
    await this.#ports.noteRestored(restore.name)
    await restore.complete()
    this.#ports.restart()
    return true
  }

  /** Brings all of a snapshot, which is named before anything comes; then `finishRestore` is to be called. */
  async *restore(
    { url, secret }: NamedPlace,
    { snapshot, skipsDamaged }: { readonly snapshot: string; readonly skipsDamaged: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<RestoreCounts> {
    await using place = await this.#ports.openPlace(url, signal)
    const backup = await Backup.open(place, { secret, random: this.#ports.random })
    const choice = await chooseSnapshot(backup, snapshot)
    const { name, bytes } = choice
    const counts = { snapshot: name, objectsTotal: 0, objectsDone: 0, bytesRead: 0, lost: [] }
    yield { ...counts, choice }
    const restore = await this.#beginRestore({ name, bytes, skipsDamaged })
    const { keys, totalCount: objectsTotal } = await missingObjects(restore, [backup])
    let objectsDone = objectsTotal - keys.length
    yield { ...counts, objectsTotal, objectsDone }
    for (const key of keys) {
      if (signal.aborted)
        throw new CancelledError('the restore was cancelled; begun again, it goes on')
      const lost = await bringObject(restore, [backup], key)
      objectsDone += 1
      const bytesRead = restore.cameBytes
      const losses = lost === undefined ? [] : [lost]
      yield { ...counts, objectsTotal, objectsDone, bytesRead, lost: losses }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#restore?.[Symbol.asyncDispose]()
  }

  /** Each holds some packs in memory, and the collector back. */
  #begin(): Disposable {
    if (this.#isTaking) {
      throw new FailedPreconditionError(
        'a backup of this server is being made already: wait until it has ended, or end it',
      )
    }
    this.#isTaking = true
    return {
      [Symbol.dispose]: () => {
        this.#isTaking = false
      },
    }
  }
}

function notBegun(): FailedPreconditionError {
  return new FailedPreconditionError(
    'no restore of this snapshot is under way, perhaps because the server was started once more: begin it again, and it goes on',
  )
}
