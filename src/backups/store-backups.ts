import type { Clock } from '../base/clock.ts'
import { CancelledError, FailedPreconditionError, NotFoundError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { Backup } from './backup.ts'
import { extract, type ExtractedStore, type ExtractEvent, type KnownObjects } from './extraction.ts'
import {
  parseSnapshotName,
  type Snapshot,
  snapshotKey,
  type SnapshotName,
  type SnapshotScope,
} from './format.ts'
import type { BackupPlace } from './place.ts'
import { type MissingObjects, Restore, type RestorePorts } from './restoring.ts'
import type { BackupSecret } from './sealing.ts'
import { type TakenBackup, takeBackup, type TakeOptions } from './taking.ts'
import { verifyBackup, type VerifyEvent } from './verifying.ts'

/** A backup that the server itself reads or writes. */
export interface NamedPlace {
  readonly url: string
  readonly secret: BackupSecret | undefined
}

export interface StoreBackupsPorts {
  readonly store: ExtractedStore
  /** @throws {DomainError} for a place that is not this server's business. */
  readonly openPlace: (url: string, signal: AbortSignal) => Promise<BackupPlace>
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
}

/** Backups of a server that runs, and restores into it. */
export class StoreBackups implements AsyncDisposable {
  readonly #ports: StoreBackupsPorts
  #isTaking = false
  #restore: Restore | undefined

  constructor(ports: StoreBackupsPorts) {
    this.#ports = ports
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
    await using place = await this.#ports.openPlace(url, options.signal)
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
      yield* listed(backup, names ?? (await backup.snapshots()))
      return
    }
    const { scratchDirectory } = this.#ports.store
    yield* verifyBackup(backup, names, { clock: this.#ports.clock, scratchDirectory, signal })
  }

  /** @throws {FailedPreconditionError} when the server is not empty, or is too old for it. */
  async beginRestore(snapshot: string, bytes: Uint8Array): Promise<MissingObjects> {
    await this.#ports.requireEmpty()
    const name = parseSnapshotName(snapshot)
    await this.#restore?.[Symbol.asyncDispose]()
    this.#restore = undefined
    this.#restore = await Restore.begin(this.#ports.restore, name, bytes)
    return await this.#restore.missing()
  }

  async putRestored(key: string, bytes: Uint8Array): Promise<void> {
    if (this.#restore === undefined) throw notBegun()
    await this.#restore.put(key, bytes)
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

  /** Brings all of a snapshot; then `finishRestore` is to be called. */
  async *restore(
    { url, secret }: NamedPlace,
    snapshot: string,
    signal: AbortSignal,
  ): AsyncGenerator<RestoreCounts> {
    await using place = await this.#ports.openPlace(url, signal)
    const backup = await Backup.open(place, { secret, random: this.#ports.random })
    const name = await backup.find(snapshot)
    const { keys, totalCount } = await this.beginRestore(name, await backup.read(snapshotKey(name)))
    let [objectsDone, bytesRead] = [totalCount - keys.length, 0]
    yield { snapshot: name, objectsDone, objectsTotal: totalCount, bytesRead }
    for (const key of keys) {
      if (signal.aborted)
        throw new CancelledError('the restore was cancelled; begun again, it goes on')
      const bytes = await readForRestore(backup, key)
      await this.putRestored(key, bytes)
      objectsDone += 1
      bytesRead += bytes.length
      yield { snapshot: name, objectsDone, objectsTotal: totalCount, bytesRead }
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

async function* listed(
  backup: Backup,
  names: readonly SnapshotName[],
): AsyncGenerator<VerifyEvent> {
  for (const name of names) {
    const snapshot: Snapshot = await backup.snapshot(name)
    yield { kind: 'snapshot', name, snapshot, isWhole: false }
  }
}

/** @throws {FailedPreconditionError} when the backup has lost it. */
export async function readForRestore(backup: Backup, key: string): Promise<Uint8Array> {
  try {
    return await backup.read(key)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    throw new FailedPreconditionError(
      `the backup lacks ${key}, and nothing has been restored: pachctl verify-backup finds all that it lacks, and which snapshots are whole`,
      { cause: error },
    )
  }
}

function notBegun(): FailedPreconditionError {
  return new FailedPreconditionError(
    'no restore of this snapshot is under way, perhaps because the server was started once more: begin it again, and it goes on',
  )
}
