import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { DataLossError, NotFoundError } from '../base/errors.ts'
import { SqliteCopy } from '../database/sqlite-copy.ts'
import type { Backup } from './backup.ts'
import { damageOfObject, type Pause, pauses } from './damaged-objects.ts'
import {
  contentPackKey,
  descriptionKey,
  metadataPackKey,
  type Snapshot,
  snapshotKey,
  type SnapshotName,
  whyAbsent,
} from './format.ts'
import { unpackMetadata } from './metadata-image.ts'
import { neededObjects } from './needed-objects.ts'

/** Something that is lost or not what was written. */
export interface BackupDamage {
  readonly key: string
  readonly what: string
  /** The snapshots that need it. */
  readonly snapshots: readonly SnapshotName[]
}

export interface VerifyCounts {
  readonly objectsDone: number
  readonly objectsTotal: number
  readonly bytesRead: number
}

export type VerifyEvent =
  | { readonly kind: 'progress'; readonly counts: VerifyCounts }
  | { readonly kind: 'damage'; readonly damage: BackupDamage }
  /** A snapshot of which everything was looked at; `isWhole` tells whether all of it is right. */
  | {
      readonly kind: 'snapshot'
      readonly name: SnapshotName
      readonly snapshot: Snapshot
      readonly isWhole: boolean
    }
  /** Objects that no snapshot needs: of a backup that was not completed, or still runs. */
  | { readonly kind: 'end'; readonly counts: VerifyCounts; readonly unneededCount: number }

export interface VerifyPorts {
  readonly clock: Clock
  /** For the metadata of one snapshot at a time. */
  readonly scratchDirectory: string
  readonly signal: AbortSignal
}

interface Needed {
  readonly sizeBytes: number
  /** No snapshot was made with it. */
  isLeftOut: boolean
  readonly snapshots: SnapshotName[]
}

let imageCount = 0

/**
 * Reads every byte of the snapshots `names`, or of all, and compares it with what was written. Nothing is
 * changed, or restored.
 */
export async function* verifyBackup(
  backup: Backup,
  names: readonly SnapshotName[] | undefined,
  ports: VerifyPorts,
): AsyncGenerator<VerifyEvent> {
  const verifying = new Verifying(backup, ports)
  yield* verifying.run(names ?? (await backup.snapshots()), names === undefined)
}

/** Names the snapshots `names`, or all; of each, nothing but itself is read. */
export async function* listSnapshots(
  backup: Backup,
  names: readonly SnapshotName[] | undefined,
): AsyncGenerator<VerifyEvent> {
  for (const name of names ?? (await backup.snapshots())) {
    const snapshot = await backup.snapshotOrDamage(name)
    if (typeof snapshot === 'string') {
      yield {
        kind: 'damage',
        damage: { key: snapshotKey(name), what: snapshot, snapshots: [name] },
      }
    } else yield { kind: 'snapshot', name, snapshot, isWhole: false }
  }
}

class Verifying {
  readonly #backup: Backup
  readonly #ports: VerifyPorts
  readonly #pause: Pause
  readonly #damagedSnapshots = new Set<SnapshotName>()
  #counts: VerifyCounts = { objectsDone: 0, objectsTotal: 0, bytesRead: 0 }

  constructor(backup: Backup, ports: VerifyPorts) {
    this.#backup = backup
    this.#ports = ports
    this.#pause = pauses(ports.clock, ports.signal, 'the check')
  }

  async *run(names: readonly SnapshotName[], areAll: boolean): AsyncGenerator<VerifyEvent> {
    const snapshots = new Map<SnapshotName, Snapshot>()
    const needed = new Map<string, Needed>()
    for (const name of names) {
      const snapshot = await this.#backup.snapshotOrDamage(name)
      if (typeof snapshot === 'string') {
        yield this.#damage(snapshotKey(name), snapshot, [name])
        continue
      }
      snapshots.set(name, snapshot)
      const leftOut = new Set(snapshot.damaged.map(contentPackKey))
      for (const { key, sizeBytes } of neededObjects(snapshot)) {
        const known = needed.get(key) ?? { sizeBytes, isLeftOut: true, snapshots: [] }
        known.snapshots.push(name)
        known.isLeftOut &&= leftOut.has(key)
        needed.set(key, known)
      }
    }
    const found = await this.#found()
    this.#counts = { ...this.#counts, objectsTotal: needed.size }
    for (const [key, object] of needed) {
      const what = await this.#damageOf(key, object, found.get(key))
      if (what !== undefined) yield this.#damage(key, what, object.snapshots)
      this.#counts = { ...this.#counts, objectsDone: this.#counts.objectsDone + 1 }
      yield { kind: 'progress', counts: this.#counts }
    }
    for (const [name, snapshot] of snapshots) {
      const what = await this.#damageOfMetadata(name, snapshot)
      if (what !== undefined) yield this.#damage(snapshotKey(name), what, [name])
      yield { kind: 'snapshot', name, snapshot, isWhole: !this.#damagedSnapshots.has(name) }
    }
    const unneeded = areAll ? [...found.keys()].filter((key) => !needed.has(key)) : []
    yield { kind: 'end', counts: this.#counts, unneededCount: unneeded.length }
  }

  #damage(key: string, what: string, snapshots: readonly SnapshotName[]): VerifyEvent {
    for (const name of snapshots) this.#damagedSnapshots.add(name)
    return { kind: 'damage', damage: { key, what, snapshots } }
  }

  /** The sizes of all objects but snapshots. */
  async #found(): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>()
    for await (const { key, sizeBytes } of this.#backup.list('')) {
      if (key !== descriptionKey && !key.startsWith('snapshots/')) found.set(key, sizeBytes)
    }
    return found
  }

  async #damageOf(
    key: string,
    { sizeBytes, isLeftOut }: Needed,
    foundBytes: number | undefined,
  ): Promise<string | undefined> {
    if (foundBytes === undefined) return whyAbsent(isLeftOut)
    if (foundBytes !== sizeBytes) return `it has ${foundBytes} bytes instead of ${sizeBytes}`
    this.#counts = { ...this.#counts, bytesRead: this.#counts.bytesRead + sizeBytes }
    return await damageOfObject(this.#backup, key, this.#pause)
  }

  /** Whether the metadata can be put together, and list the packs that the snapshot has. */
  async #damageOfMetadata(name: SnapshotName, snapshot: Snapshot): Promise<string | undefined> {
    const { metadata, packs } = snapshot
    // What is missing has been told.
    if (metadata === undefined || this.#damagedSnapshots.has(name)) return undefined
    imageCount += 1
    const path = join(this.#ports.scratchDirectory, `verify-${imageCount}.db`)
    try {
      const read = (pack: string): Promise<Uint8Array> => this.#backup.read(metadataPackKey(pack))
      await unpackMetadata(metadata, read, path)
      using copy = new SqliteCopy(path)
      const listed = copy.all<{ readonly name: string }>('SELECT name FROM packs ORDER BY name')
      const isSame =
        listed.length === packs.length && listed.every((row, at) => row.name === packs[at]?.name)
      return isSame ? undefined : 'its metadata list other packs than it has'
    } catch (error) {
      return damageText(error)
    } finally {
      for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true })
    }
  }
}

/** Of damage; anything else is no finding. */
function damageText(error: unknown): string {
  if (error instanceof DataLossError || error instanceof NotFoundError) return error.message
  throw error
}
