import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import {
  assert,
  DataLossError,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
} from '../base/errors.ts'
import { Turns } from '../base/turns.ts'
import type { Database, Migrations } from '../database/database.ts'
import { openSqlite } from '../database/sqlite.ts'
import { SqliteCopy, syncDirectory } from '../database/sqlite-copy.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { type ObjectKey, type ObjectStore, parseObjectKey } from '../storage/object-store.ts'
import { damagedChunksOf, damageOfPack, saveDamage } from '../storage/pack-bytes.ts'
import {
  contentPackKey,
  decodeSnapshot,
  isContentKey,
  metadataPackKey,
  type Snapshot,
  type SnapshotName,
} from './format.ts'
import { unpackMetadata } from './metadata-image.ts'
import { neededObjects } from './needed-objects.ts'
import { requireRoom, restoreRoom } from './restore-room.ts'

export interface RestorePorts {
  /** Of this server: packs go there at once, since nobody knows of them yet. */
  readonly objects: ObjectStore
  /** A directory of this restore's own, beside the metadata; what it holds outlives the process. */
  readonly directory: string
  /** Where the metadata go when they are complete. */
  readonly restored: string
  /** Where `objects` takes room of a disk; missing: in a bucket. */
  readonly objectsDirectory?: string | undefined
  /** Those of this release. */
  readonly migrations: readonly Migrations[]
  /** The id of this server's store, which the metadata get. */
  readonly storeId: string
  readonly release: string
  readonly clock: Clock
}

/** What is to be restored. */
export interface RestoreWish {
  readonly name: SnapshotName
  /** The object of the snapshot. */
  readonly bytes: Uint8Array
  /** Do without packs of contents that are missing or damaged; else nothing is restored when one is. */
  readonly skipsDamaged?: boolean
}

/** A pack that a restore which skips damage has not brought whole. */
export interface LostObject {
  readonly key: string
  /** What is wrong with it, in words. */
  readonly what: string
}

/** Which of the objects that a restore needs have not come yet. */
export interface MissingObjects {
  readonly keys: readonly string[]
  readonly totalCount: number
  readonly sizeBytes: number
}

/**
 * Brings a snapshot to a server; one of metadata alone with those of its packs that are not there already. Each
 * object is compared as it comes; what has come stays, whatever ends the process, so that the same snapshot goes
 * on with what is missing. Until `complete`, nothing shows.
 */
export class Restore implements AsyncDisposable {
  readonly name: SnapshotName
  readonly snapshot: Snapshot
  /** Packs of contents that are missing or damaged are done without. */
  readonly skipsDamaged: boolean
  readonly #ports: RestorePorts
  /** Of metadata what has come, and of damaged packs what is left of them. */
  readonly #staged: LocalObjectStore
  readonly #turns: Turns
  #cameBytes = 0

  private constructor(
    ports: RestorePorts,
    what: Pick<Restore, 'name' | 'snapshot' | 'skipsDamaged'>,
    staged: LocalObjectStore,
  ) {
    this.#ports = ports
    this.name = what.name
    this.snapshot = what.snapshot
    this.skipsDamaged = what.skipsDamaged
    this.#staged = staged
    // oxlint-disable-next-line no-restricted-globals -- a turn, not a time: no clock could say it.
    this.#turns = new Turns(ports.clock, setImmediate)
  }

  /**
   * @throws {DataLossError} when these are not the bytes of the snapshot.
   * @throws {FailedPreconditionError} when it cannot be restored here: of a newer release, or not whole.
   */
  static async begin(
    ports: RestorePorts,
    { name, bytes, skipsDamaged = false }: RestoreWish,
  ): Promise<Restore> {
    const snapshot = decodeSnapshot(name, bytes)
    requireRestorable(name, snapshot, ports)
    await mkdir(ports.directory, { recursive: true })
    const staged = await LocalObjectStore.open(ports.directory)
    return new Restore(ports, { name, snapshot, skipsDamaged }, staged)
  }

  /** Of objects that were put by this process. */
  get cameBytes(): number {
    return this.#cameBytes
  }

  async missing(): Promise<MissingObjects> {
    const keys: string[] = []
    let missingBytes = 0
    let totalCount = 0
    for (const { key, sizeBytes } of this.#needed()) {
      totalCount += 1
      if (await this.#hasCome(key, sizeBytes)) continue
      keys.push(key)
      missingBytes += sizeBytes
    }
    return { keys, totalCount, sizeBytes: missingBytes }
  }

  /** @throws {DiskFullError} when what has not come has no room. */
  async requireRoom({ keys }: Pick<MissingObjects, 'keys'>): Promise<void> {
    const { directory, objectsDirectory } = this.#ports
    const missing = new Set(keys)
    // Packs that the backup does not have are done without.
    const isWithoutPacks = this.skipsDamaged && this.snapshot.scope !== 'whole'
    const coming = [...this.#needed()].filter(({ key }) => {
      return missing.has(key) && !(isWithoutPacks && isContentKey(key))
    })
    await requireRoom(restoreRoom(this.snapshot, coming, { directory, objectsDirectory }))
  }

  #needed(): ReturnType<typeof neededObjects> {
    return neededObjects({ ...this.snapshot, scope: 'whole' })
  }

  /** Damaged packs are asked for anew, since another copy of the backup may have them whole. */
  async #hasCome(key: string, sizeBytes: number): Promise<boolean> {
    if (isContentKey(key) && (await sizeIn(this.#staged, key)) !== undefined) return false
    return (await sizeIn(this.#storeOf(key), key)) === sizeBytes
  }

  /**
   * Takes an object, durably. Of a damaged pack of contents, when these are skipped, it takes what there is, and
   * returns what is wrong with it.
   *
   * @throws {DataLossError} when it is not what was backed up; then nothing is stored.
   */
  async put(key: string, bytes: Uint8Array): Promise<LostObject | undefined> {
    const pack = key.slice(-64)
    if (key !== contentPackKey(pack) && key !== metadataPackKey(pack)) {
      throw new InvalidArgumentError(`${JSON.stringify(key)} is no object that a restore needs`)
    }
    this.#cameBytes += bytes.length
    const objectKey = parseObjectKey(key)
    const [what] = await damageOfPack(pack, bytes, () => this.#turns.next())
    if (what !== undefined) {
      if (!this.skipsDamaged || !isContentKey(key)) throw damagedIn(key, what)
      await this.#staged.delete(objectKey)
      await this.#staged.putIfAbsent(objectKey, [bytes])
      return { key, what }
    }
    const store = this.#storeOf(key)
    const wasDamaged = isContentKey(key) && (await sizeIn(this.#staged, key)) !== undefined
    // What is there under that name and has another size is no pack; nor may one be that was damaged.
    const isOther = ![undefined, bytes.length].includes(await sizeIn(store, key))
    if (wasDamaged || isOther) await store.delete(objectKey)
    await store.putIfAbsent(objectKey, [bytes])
    if (wasDamaged) await this.#staged.delete(objectKey)
    return undefined
  }

  /**
   * Puts the metadata together and brings them up to date. When it resolves, they are where the next start
   * of the server takes them from; before that, nothing has changed. Where damage is skipped, damaged packs
   * are put among the others, for what is whole of them can be read, and it is noted what is not.
   *
   * @returns the names of packs of contents that have not come whole, where that is tolerated.
   * @throws {FailedPreconditionError} when something has not come.
   */
  async complete({
    toleratesMissing = this.skipsDamaged,
  }: { readonly toleratesMissing?: boolean } = {}): Promise<readonly string[]> {
    const { keys, totalCount } = await this.missing()
    const needed = keys.find((key) => !toleratesMissing || !isContentKey(key))
    if (needed !== undefined) {
      throw new FailedPreconditionError(
        `${keys.length} of ${totalCount} objects have not come yet, such as ${needed}`,
      )
    }
    const lost = keys.map((key) => key.slice(-64))
    const { directory, restored } = this.#ports
    const path = join(directory, 'metadata.db')
    // Its steps run here, not when the server starts: what they refuse leaves the server as it is.
    await using database = await openRestoredMetadata(this.#ports, this, {
      path,
      read: async (key) => await wholeObject(this.#staged, key),
    })
    for (const name of lost) await this.#takeDamaged(database, name)
    await database[Symbol.asyncDispose]()
    await rename(path, restored)
    await syncDirectory(restored)
    return lost
  }

  /** Its copy here stays until the end, and says that the one among the packs is not whole. */
  async #takeDamaged(database: Database, name: string): Promise<void> {
    const { objects } = this.#ports
    const key = parseObjectKey(contentPackKey(name))
    if ((await sizeIn(this.#staged, key)) === undefined) return
    const bytes = await wholeObject(this.#staged, key)
    const damaged = await damagedChunksOf(name, bytes)
    await database.transact((tx) => saveDamage(tx, name, damaged))
    await objects.delete(key)
    await objects.putIfAbsent(key, [bytes])
  }

  #storeOf(key: string): ObjectStore {
    return key.startsWith('metadata/') ? this.#staged : this.#ports.objects
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#staged[Symbol.asyncDispose]()
  }
}

/**
 * Puts the metadata of a snapshot together at `path`, and brings them up to date.
 *
 * @throws {DataLossError} when they are not what was backed up.
 */
export async function openRestoredMetadata(
  ports: Pick<RestorePorts, 'migrations' | 'clock' | 'release' | 'storeId'>,
  { name, snapshot }: { readonly name: SnapshotName; readonly snapshot: Snapshot },
  { path, read }: { readonly path: string; readonly read: (key: ObjectKey) => Promise<Uint8Array> },
): Promise<Database> {
  const { migrations, clock, release, storeId } = ports
  assert(snapshot.metadata !== undefined, 'a snapshot of data alone is not restored')
  for (const suffix of ['', '-wal', '-shm', '-open']) await rm(`${path}${suffix}`, { force: true })
  const readPack = async (pack: string): Promise<Uint8Array> =>
    await read(parseObjectKey(metadataPackKey(pack)))
  await unpackMetadata(snapshot.metadata, readPack, path)
  requirePacks(path, name, snapshot)
  await using opened = new AsyncDisposableStack()
  const store = { id: storeId, isNew: true }
  const database = opened.use(await openSqlite({ path, migrations, clock, release, store }))
  await database.transact(async (tx) => {
    for (const table of migrations.flatMap(({ outsideTables = [] }) => outsideTables)) {
      await tx.run(`DELETE FROM ${table}`)
    }
  })
  opened.move()
  return database
}

/** What is left to do without a pack of contents, whatever was to be restored. */
export const skippingAdvice =
  'a restore of all, into an empty server, brings what is whole with --skip-damaged, and says which files are lost'

/** Of an object that a restore refuses. */
export function damagedIn(key: string, damage: string, cause?: DataLossError): DataLossError {
  const advice = isContentKey(key) ? skippingAdvice : 'choose one of those with --snapshot'
  return new DataLossError(
    `the backup is damaged, and nothing has been restored: ${key}: ${damage}; pachctl verify-backup finds all that is, and which snapshots are whole; ${advice}`,
    { cause },
  )
}

function requirePacks(path: string, name: SnapshotName, { packs }: Snapshot): void {
  using copy = new SqliteCopy(path)
  const listed = copy.all<{ readonly name: string }>('SELECT name FROM packs ORDER BY name')
  if (listed.length === packs.length && listed.every((pack, at) => pack.name === packs[at]?.name)) {
    return
  }
  throw new DataLossError(`the metadata of snapshot ${name} list other packs than it has`)
}

/** @throws {FailedPreconditionError} for a snapshot of a newer release, or without metadata. */
export function requireRestorable(
  name: SnapshotName,
  { scope, layers, release }: Snapshot,
  { migrations }: Pick<RestorePorts, 'migrations'>,
): void {
  // Metadata alone are enough where the packs are.
  if (scope === 'data') {
    throw new FailedPreconditionError(
      `snapshot ${name} is of data alone, and a server needs metadata, too: with a backup of those it is restored by pachd --root DIR --restore METADATA --restore-packs DATA`,
    )
  }
  for (const { layer, steps } of migrations) {
    const version = layers[layer] ?? 0
    if (version > steps.length) {
      throw new FailedPreconditionError(
        `snapshot ${name} was taken by release ${release} (${layer} version ${version}), and this server knows ${layer} up to version ${steps.length}: restore it with release ${release} or newer`,
      )
    }
  }
  const known = new Set(migrations.map(({ layer }) => layer))
  const unknown = Object.keys(layers).find((layer) => layer !== 'database' && !known.has(layer))
  if (unknown !== undefined) {
    throw new FailedPreconditionError(
      `snapshot ${name} was taken by release ${release}, which keeps ${unknown}, and this server knows nothing of that: restore it with release ${release} or newer`,
    )
  }
}

async function wholeObject(store: ObjectStore, key: ObjectKey): Promise<Uint8Array> {
  return await store.get(key, 0, await store.sizeBytes(key))
}

async function sizeIn(store: ObjectStore, key: string): Promise<number | undefined> {
  try {
    return await store.sizeBytes(parseObjectKey(key))
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}
