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
import { damageOfPack } from '../storage/pack-bytes.ts'
import {
  contentPackKey,
  decodeSnapshot,
  metadataPackKey,
  type Snapshot,
  type SnapshotName,
} from './format.ts'
import { unpackMetadata } from './metadata-image.ts'
import { neededObjects } from './taking.ts'

export interface RestorePorts {
  /** Of this server: packs go there at once, since nobody knows of them yet. */
  readonly objects: ObjectStore
  /** A directory of this restore's own, beside the metadata; what it holds outlives the process. */
  readonly directory: string
  /** Where the metadata go when they are complete. */
  readonly restored: string
  /** Those of this release. */
  readonly migrations: readonly Migrations[]
  /** The id of this server's store, which the metadata get. */
  readonly storeId: string
  readonly release: string
  readonly clock: Clock
}

/** Which of the objects that a restore needs have not come yet. */
export interface MissingObjects {
  readonly keys: readonly string[]
  readonly totalCount: number
  readonly sizeBytes: number
}

/**
 * Brings a snapshot to a server. Each object is compared as it comes; what has come stays, whatever ends the
 * process, so that the same snapshot goes on with what is missing. Until `complete`, nothing shows.
 */
export class Restore implements AsyncDisposable {
  readonly name: SnapshotName
  readonly snapshot: Snapshot
  readonly #ports: RestorePorts
  readonly #staged: LocalObjectStore
  readonly #turns: Turns

  private constructor(
    ports: RestorePorts,
    { name, snapshot }: { readonly name: SnapshotName; readonly snapshot: Snapshot },
    staged: LocalObjectStore,
  ) {
    this.#ports = ports
    this.name = name
    this.snapshot = snapshot
    this.#staged = staged
    // oxlint-disable-next-line no-restricted-globals -- a turn, not a time: no clock could say it.
    this.#turns = new Turns(ports.clock, setImmediate)
  }

  /**
   * @throws {DataLossError} when these are not the bytes of the snapshot.
   * @throws {FailedPreconditionError} when it cannot be restored here: of a newer release, or not whole.
   */
  static async begin(ports: RestorePorts, name: SnapshotName, bytes: Uint8Array): Promise<Restore> {
    const snapshot = decodeSnapshot(name, bytes)
    requireRestorable(name, snapshot, ports)
    await mkdir(ports.directory, { recursive: true })
    return new Restore(ports, { name, snapshot }, await LocalObjectStore.open(ports.directory))
  }

  async missing(): Promise<MissingObjects> {
    const keys: string[] = []
    let totalCount = 0
    let missingBytes = 0
    for (const { key, sizeBytes } of neededObjects(this.snapshot)) {
      totalCount += 1
      if ((await sizeIn(this.#storeOf(key), key)) === sizeBytes) continue
      keys.push(key)
      missingBytes += sizeBytes
    }
    return { keys, totalCount, sizeBytes: missingBytes }
  }

  /**
   * Takes an object, durably.
   *
   * @throws {DataLossError} when it is not what was backed up; then nothing is stored.
   */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    const pack = key.slice(-64)
    if (key !== contentPackKey(pack) && key !== metadataPackKey(pack)) {
      throw new InvalidArgumentError(`${JSON.stringify(key)} is no object that a restore needs`)
    }
    const [damage] = await damageOfPack(pack, bytes, () => this.#turns.next())
    if (damage !== undefined) {
      throw new DataLossError(
        `the backup is damaged, and nothing has been restored: ${key}: ${damage}; pachctl verify-backup finds all that is, and which snapshots are whole`,
      )
    }
    const store = this.#storeOf(key)
    const objectKey = parseObjectKey(key)
    // What is there under that name and has another size is no pack.
    if (![undefined, bytes.length].includes(await sizeIn(store, key))) await store.delete(objectKey)
    await store.putIfAbsent(objectKey, [bytes])
  }

  /**
   * Puts the metadata together and brings them up to date. When it resolves, they are where the next start
   * of the server takes them from; before that, nothing has changed.
   *
   * @returns the packs that are not there, where that is tolerated.
   * @throws {FailedPreconditionError} when something has not come.
   */
  async complete({
    toleratesMissing = false,
  }: { readonly toleratesMissing?: boolean } = {}): Promise<readonly string[]> {
    const { metadata } = this.snapshot
    const missing = await this.missing()
    const [first] = missing.keys.filter((key) => !toleratesMissing || key.startsWith('metadata/'))
    if (first !== undefined || metadata === undefined) {
      throw new FailedPreconditionError(
        `${missing.keys.length} of ${missing.totalCount} objects have not come yet, such as ${first}`,
      )
    }
    const lost = await this.#lostPacks()
    const unexpected = lost.find((name) => !this.snapshot.damaged.includes(name))
    if (unexpected !== undefined && !toleratesMissing) {
      throw new FailedPreconditionError(
        `snapshot ${this.name} is of metadata alone, and ${lost.length} of the packs that they need are not here, such as ${unexpected}: restore one of a whole store, or of data, before`,
      )
    }
    const { directory, restored } = this.#ports
    const path = join(directory, 'metadata.db')
    // Its steps run here, not when the server starts: what they refuse leaves the server as it is.
    await using database = await openRestoredMetadata(this.#ports, this, {
      path,
      read: async (key) => await this.#staged.get(key, 0, await this.#staged.sizeBytes(key)),
    })
    await database[Symbol.asyncDispose]()
    await rename(path, restored)
    await syncDirectory(restored)
    return lost
  }

  /** Of all that the metadata list, those that are not there. */
  async #lostPacks(): Promise<readonly string[]> {
    const lost: string[] = []
    for (const { name, sizeBytes } of this.snapshot.packs) {
      const foundBytes = await sizeIn(this.#ports.objects, contentPackKey(name))
      if (foundBytes !== sizeBytes) lost.push(name)
    }
    return lost
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
  return await openSqlite({ path, migrations, clock, release, store: { id: storeId, isNew: true } })
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
      `snapshot ${name} is of data alone, and a server is restored from one of a whole store; docs/backup.md says what one of data alone is for`,
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

async function sizeIn(store: ObjectStore, key: string): Promise<number | undefined> {
  try {
    return await store.sizeBytes(parseObjectKey(key))
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}
