import { createHash } from 'node:crypto'
import { utf8, utf8Text } from '../base/bytes.ts'
import {
  DataLossError,
  FailedPreconditionError,
  NotFoundError,
  PermissionDeniedError,
} from '../base/errors.ts'
import { newHexId, type Random } from '../base/random.ts'
import {
  backupVersion,
  decodeSnapshot,
  descriptionKey,
  formatName,
  requireKnownVersion,
  type Snapshot,
  snapshotKey,
  type SnapshotName,
  snapshotOfKey,
} from './format.ts'
import { type BackupPlace, type PlacedObject, writesMax } from './place.ts'
import {
  type BackupKey,
  type BackupSecret,
  makeKey,
  openKey,
  seal,
  sealedBytes,
  unseal,
  unsealedBytes,
  unsealLeft,
  type WrappedKey,
} from './sealing.ts'

/** What the object `backup` says. */
export interface Description {
  readonly id: string
  /** Undefined when nothing is sealed. */
  readonly encryption: WrappedKey | undefined
}

/** Two lines: JSON, and the SHA-256 of that line. */
export function encodeDescription({ id, encryption }: Description): Uint8Array {
  const line = JSON.stringify({
    format: formatName,
    version: backupVersion,
    id,
    encryption: encryption ?? null,
  })
  return utf8(`${line}\nsha256 ${hashOf(line)}\n`)
}

/** @throws {DataLossError} @throws {FailedPreconditionError} of a newer release. */
export function decodeDescription(place: string, bytes: Uint8Array): Description {
  const what = `${place}/${descriptionKey}`
  const [line = '', sum = '', end] = Buffer.from(bytes).toString('latin1').split('\n')
  if (end !== '' || sum !== `sha256 ${hashOf(line)}`) {
    throw new DataLossError(
      `${what} is damaged: it does not say what it was written with; take the same object of another copy of this backup`,
    )
  }
  const { version, id, encryption } = JSON.parse(utf8Text(utf8(line))) as {
    readonly version?: unknown
    readonly id?: unknown
    readonly encryption?: WrappedKey | null
  }
  requireKnownVersion(what, version)
  return { id: String(id), encryption: encryption ?? undefined }
}

function hashOf(line: string): string {
  return createHash('sha256').update(line).digest('hex')
}

export interface BackupPorts {
  /** Undefined for a backup that is not encrypted. */
  readonly secret?: BackupSecret | undefined
  /** The secret may be that of another backup which is opened together with this one. */
  readonly isSecretShared?: boolean
  readonly random: Random
}

/** Writes what a new backup is, unless the place has been given another meanwhile. */
async function describe(
  place: BackupPlace,
  { secret, random }: BackupPorts,
): Promise<{ readonly id: string; readonly key: BackupKey | undefined }> {
  const id = newHexId(random)
  const made = secret === undefined ? undefined : await makeKey(secret, id, random)
  await place.create(descriptionKey, encodeDescription({ id, encryption: made?.wrapped }))
  return { id, key: made?.key }
}

/** Snapshots of a store in one place, sealed or not. */
export class Backup {
  readonly id: string
  readonly #place: BackupPlace
  readonly #random: Random
  readonly #key: BackupKey | undefined

  private constructor(place: BackupPlace, id: string, random: Random, key?: BackupKey) {
    this.#place = place
    this.id = id
    this.#random = random
    this.#key = key
  }

  /** For people. */
  get name(): string {
    return this.#place.name
  }

  /** Objects on their way to it at once, of up to 40 MiB each. */
  get writesMax(): number {
    return this.#place.writesMax ?? writesMax
  }

  get isEncrypted(): boolean {
    return this.#key !== undefined
  }

  /**
   * @throws {NotFoundError} when the place holds none.
   * @throws {PermissionDeniedError} when the secret is missing or wrong.
   */
  static async open(place: BackupPlace, ports: BackupPorts): Promise<Backup> {
    const { secret, isSecretShared = false, random } = ports
    const { id, encryption } = decodeDescription(place.name, await descriptionOf(place))
    if (encryption === undefined) {
      if (secret === undefined || isSecretShared) return new Backup(place, id, random)
      throw new FailedPreconditionError(
        `${place.name} is a backup that is not encrypted, and a passphrase or key was given: leave it away, or choose another place`,
      )
    }
    if (secret === undefined) {
      throw new PermissionDeniedError(
        `${place.name} is an encrypted backup: give the ${encryption.kdf === 'scrypt' ? 'passphrase that it was made with, in a file (pachctl --passphrase-file, pachd --backup-passphrase-file)' : 'key that it was made with, in a file (pachctl --key-file, pachd --backup-key-file)'}`,
      )
    }
    return new Backup(place, id, random, await openKey(secret, id, encryption))
  }

  /** As `open`; begins one where the place holds nothing but packs. */
  static async openOrCreate(place: BackupPlace, ports: BackupPorts): Promise<Backup> {
    const { secret } = ports
    try {
      return await Backup.open(place, ports)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
    }
    for await (const { key } of place.list('')) {
      if (key.startsWith('packs/') && secret === undefined) continue
      throw new FailedPreconditionError(
        `${place.name} is no backup, but holds ${JSON.stringify(key)}: choose a place that is empty, or does not exist yet`,
      )
    }
    await describe(place, ports)
    // Somebody else may have begun one at the same moment, with another key, which stays.
    return await Backup.open(place, ports)
  }

  /** Begins one in a place that nobody else writes to, and that is empty. */
  static async create(place: BackupPlace, ports: BackupPorts): Promise<Backup> {
    const { id, key } = await describe(place, ports)
    return new Backup(place, id, ports.random, key)
  }

  /** With the sizes that objects have when they are unsealed. */
  async *list(prefix: string): AsyncGenerator<PlacedObject> {
    for await (const { key, sizeBytes } of this.#place.list(prefix)) {
      yield { key, sizeBytes: this.#key === undefined ? sizeBytes : unsealedBytes(sizeBytes) }
    }
  }

  /** @throws {NotFoundError} @throws {DataLossError} when a sealed object has changed. */
  async read(key: string): Promise<Uint8Array> {
    const bytes = await this.#place.read(key)
    return this.#key === undefined ? bytes : unseal(this.#key, key, bytes)
  }

  /** What is left of an object that has changed, each byte at its place. @throws as `read`, when nothing is. */
  async readLeft(key: string): Promise<Uint8Array> {
    const bytes = await this.#place.read(key)
    return this.#key === undefined ? bytes : unsealLeft(this.#key, key, bytes)
  }

  /** One that is there stays. */
  async write(key: string, bytes: Uint8Array): Promise<void> {
    await this.#place.write(key, this.#sealed(key, bytes))
  }

  /** In the place of one that is there, which is damaged. */
  async replace(key: string, bytes: Uint8Array): Promise<void> {
    await this.#place.replace(key, this.#sealed(key, bytes))
  }

  #sealed(key: string, bytes: Uint8Array): Uint8Array {
    return this.#key === undefined ? bytes : seal(this.#key, key, bytes, this.#random)
  }

  async remove(key: string): Promise<void> {
    await this.#place.remove(key)
  }

  /** What an object takes in the place. */
  storedBytes(sizeBytes: number): number {
    return this.#key === undefined ? sizeBytes : sealedBytes(sizeBytes)
  }

  /** The oldest first. */
  async snapshots(): Promise<readonly SnapshotName[]> {
    const names: SnapshotName[] = []
    for await (const { key } of this.#place.list('snapshots/')) {
      const name = snapshotOfKey(key)
      if (name !== undefined) names.push(name)
    }
    return names.toSorted()
  }

  /** @throws {NotFoundError} @throws {DataLossError} */
  async snapshot(name: SnapshotName): Promise<Snapshot> {
    return decodeSnapshot(name, await this.read(snapshotKey(name)))
  }

  /** Of one that is lost or damaged, what is wrong with it, in words that name it. */
  async snapshotOrDamage(name: SnapshotName): Promise<Snapshot | string> {
    try {
      return await this.snapshot(name)
    } catch (error) {
      if (!(error instanceof DataLossError || error instanceof NotFoundError)) throw error
      return error.message.includes(name) ? error.message : `snapshot ${name}: ${error.message}`
    }
  }

  /**
   * The snapshot whose name begins with `text`, or the newest one for an empty text.
   *
   * @throws {NotFoundError} @throws {FailedPreconditionError} when there are several.
   */
  async find(text: string): Promise<SnapshotName> {
    const all = await this.snapshots()
    const names = all.filter((name) => name.startsWith(text))
    const newest = names.at(-1)
    if (newest === undefined) {
      throw new NotFoundError(
        all.length === 0
          ? `${this.name} holds no snapshot: no backup into it has come to its end yet`
          : `${this.name} holds no snapshot ${text}, but ${shownNames(all)}`,
      )
    }
    if (text === '' || names.length === 1) return newest
    throw new FailedPreconditionError(
      `${this.name} holds ${names.length} snapshots whose names begin with ${text}: write more of the name, as of ${shownNames(names)}`,
    )
  }

  /**
   * As `find`; but the newest one that has metadata, since a server is made of one that has.
   *
   * @throws {DataLossError} when a newer one cannot be read: nobody gets an older one without notice.
   */
  async findToRestore(text: string): Promise<SnapshotName> {
    const newest = await this.find(text)
    if (text !== '') return newest
    let damage: string | undefined
    for (const name of (await this.snapshots()).toReversed()) {
      const snapshot = await this.snapshotOrDamage(name)
      if (typeof snapshot === 'string') damage ??= snapshot
      else if (snapshot.scope !== 'data') {
        if (damage === undefined) return name
        throw new DataLossError(
          `${damage}; nothing has been restored. The newest snapshot of ${this.name} that can be read is another one: --snapshot ${name} takes it`,
        )
      }
    }
    if (damage === undefined) return newest
    throw new DataLossError(
      `${damage}; nothing has been restored, and ${this.name} holds no other snapshot that a server could be made of: take another copy of this backup`,
    )
  }
}

async function descriptionOf(place: BackupPlace): Promise<Uint8Array> {
  try {
    return await place.read(descriptionKey)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    for await (const { key } of place.list('snapshots/')) {
      throw new DataLossError(
        `${place.name} holds ${key}, and ${descriptionKey} is missing, which says how to read it: take it from another copy of this backup`,
      )
    }
    throw new NotFoundError(`${place.name} holds no backup`, { cause: error })
  }
}

const shownMax = 10

/** The newest first, each by its time, which tells it from others. */
function shownNames(names: readonly SnapshotName[]): string {
  const shown = names.slice(-shownMax).toReversed()
  const rest = names.length - shown.length
  const times = shown.map((name) => name.replace(/-.*/, '')).join(', ')
  return rest === 0 ? times : `${times} and ${rest} older ones`
}
