import { utf8Text } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import {
  AlreadyExistsError,
  DomainError,
  FailedPreconditionError,
  NotFoundError,
  ResourceExhaustedError,
} from '../base/errors.ts'
import { newHexId, type Random } from '../base/random.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import { type SlotSecrets, noSecrets } from './executor.ts'
import { allPipelines } from './pipeline-records.ts'
import type { Secret } from './requested-specs.ts'
import type { SecretKeys } from './secret-keys.ts'
import {
  openEntries,
  sealEntries,
  type SecretEntries,
  sealingNonceBytes,
} from './secrets/sealing.ts'
import { checkEntries, checkSecretName, type RequestedEntry } from './secrets/secret-check.ts'
import {
  countSecrets,
  findSealed,
  findSecret,
  putSecret,
  removeSecret,
  sealedOtherwise,
  secretPage,
  type SealedValues,
  type SecretRecord,
} from './secrets/secret-rows.ts'
import { slotSecrets } from './secrets/slot-secrets.ts'

export type { RequestedEntry, SecretRecord }

const secretCountMax = 10_000
const pageCount = 100

export class SecretNotFoundError extends NotFoundError {
  override readonly name = 'SecretNotFoundError'

  constructor(secret: string) {
    super(`secret ${secret} not found; pachctl list-secret lists those that there are`)
  }
}

/** What is wrong with the secrets of a pipeline, such that no datum can be processed. */
class SecretMissingError extends FailedPreconditionError {
  override readonly name = 'SecretMissingError'
}

/** The secrets of a pipeline, as they are now. */
export interface SecretsGrant {
  /** Another one says that something else is granted. */
  readonly revision: string
  /** @throws {FailedPreconditionError} when one cannot be had. */
  readonly open: () => Promise<SlotSecrets>
}

interface SecretsPorts {
  readonly database: Database
  readonly clock: Clock
  readonly random: Random
  readonly keys: SecretKeys
}

/** Values that only user code gets to see: encrypted in the database, with keys from elsewhere. */
export class Secrets {
  readonly #ports: SecretsPorts

  constructor(ports: SecretsPorts) {
    this.#ports = ports
  }

  /** @throws {AlreadyExistsError} @throws {InvalidArgumentError} @throws {ResourceExhaustedError} */
  async create(name: string, requested: readonly RequestedEntry[]): Promise<SecretRecord> {
    return await this.#put(name, requested, async (tx) => {
      if ((await findSecret(tx, name)) !== undefined) {
        throw new AlreadyExistsError(
          `secret ${name} already exists; use update-secret to change its values`,
        )
      }
      if ((await countSecrets(tx)) >= secretCountMax) {
        throw new ResourceExhaustedError(
          `there are ${secretCountMax} secrets, and no more are allowed: delete some, or put several values into one`,
        )
      }
      return undefined
    })
  }

  /** Replaces all values. @throws {SecretNotFoundError} and what `create` throws. */
  async update(name: string, requested: readonly RequestedEntry[]): Promise<SecretRecord> {
    return await this.#put(name, requested, async (tx) => await getSecret(tx, name))
  }

  async #put(
    name: string,
    requested: readonly RequestedEntry[],
    look: (tx: ReadTransaction) => Promise<SecretRecord | undefined>,
  ): Promise<SecretRecord> {
    const { clock, database, random } = this.#ports
    checkSecretName(name)
    const entries = checkEntries(name, requested)
    // First, so that no key is made for what is refused.
    await database.read(look)
    const revision = newHexId(random)
    const entryNames = [...entries.keys()]
    const sealed = await this.#seal(entries, { name, revision, entryNames })
    const updatedAt = clock.now()
    return await database.transact(async (tx) => {
      const createdAt = (await look(tx))?.createdAt ?? updatedAt
      const secret = { name, revision, entryNames, createdAt, updatedAt }
      await putSecret(tx, secret, sealed)
      return secret
    })
  }

  async #seal(
    entries: SecretEntries,
    place: Pick<SecretRecord, 'name' | 'revision' | 'entryNames'>,
  ): Promise<SealedValues> {
    const mayMake = (await this.#ports.database.read(countSecrets)) === 0
    const key = await this.#ports.keys.current({ mayMake })
    const nonce = this.#ports.random.bytes(sealingNonceBytes)
    return { keyId: key.id, sealed: sealEntries(entries, { key, nonce, place }) }
  }

  /** Also says which pipelines name it. @throws {SecretNotFoundError} */
  async inspect(
    name: string,
  ): Promise<{ readonly secret: SecretRecord; readonly pipelines: readonly string[] }> {
    return await this.#ports.database.read(async (tx) => {
      const secret = await getSecret(tx, name)
      const users = (await allPipelines(tx)).filter(
        ({ spec }) => spec.egressSecret === name || spec.secrets.some((each) => each.name === name),
      )
      return { secret, pipelines: users.map((pipeline) => String(pipeline.name)).toSorted() }
    })
  }

  /** By name, in pages. */
  async *pages(): AsyncGenerator<readonly SecretRecord[]> {
    for (let last = ''; ;) {
      const page = await this.#ports.database.read((tx) => secretPage(tx, last, pageCount))
      if (page.length > 0) yield page
      if (page.length < pageCount) return
      last = page.at(-1)?.name ?? ''
    }
  }

  /** Pipelines may still name it: their next datum then fails. @throws {SecretNotFoundError} */
  async delete(name: string): Promise<void> {
    await this.#ports.database.transact(async (tx) => {
      await getSecret(tx, name)
      await removeSecret(tx, name)
    })
  }

  /** What a pipeline's code is given now; undefined when it asks for nothing. */
  async grant(wanted: readonly Secret[]): Promise<SecretsGrant | undefined> {
    if (wanted.length === 0) return undefined
    const found = await this.#ports.database.read((tx) => secretsOf(tx, wanted))
    const revision = [...found.values()].map((secret) => secret.revision).join(' ')
    return { revision, open: () => this.#open(wanted) }
  }

  /**
   * The entries of a secret as texts, for what the server itself does with them.
   *
   * @throws {FailedPreconditionError} when it cannot be had.
   */
  async texts(name: string): Promise<Readonly<Record<string, string>>> {
    const { secret, values } = await this.#ports.database.read(async (tx) => {
      const found = await secretsOf(tx, [{ name, mountPath: '' }])
      const record = found.get(name) ?? (await getSecret(tx, name))
      return { secret: record, values: await findSealed(tx, record) }
    })
    const entries = await this.#opened(secret, values)
    return Object.fromEntries([...entries].map(([entry, value]) => [entry, utf8Text(value)]))
  }

  async #open(wanted: readonly Secret[]): Promise<SlotSecrets> {
    if (wanted.length === 0) return noSecrets
    const sealed = await this.#ports.database.read(async (tx) => {
      const secrets = await secretsOf(tx, wanted)
      return await Promise.all(
        [...secrets.values()].map(async (secret) => ({
          secret,
          values: await findSealed(tx, secret),
        })),
      )
    })
    const opened = new Map<string, SecretEntries>()
    for (const { secret, values } of sealed) {
      opened.set(secret.name, await this.#opened(secret, values))
    }
    return slotSecrets(wanted, opened)
  }

  async #opened(secret: SecretRecord, values: SealedValues | undefined): Promise<SecretEntries> {
    const { keys } = this.#ports
    if (values === undefined) {
      throw new SecretMissingError(
        `the values of secret ${secret.name} are lost; store them again with update-secret`,
      )
    }
    const key = await keys.find(values.keyId)
    if (key === undefined) {
      throw new SecretMissingError(
        `the values of secret ${secret.name} are sealed with key ${values.keyId}, which is not in ${keys.place}: put it back, or store them again with update-secret`,
      )
    }
    try {
      return openEntries(values.sealed, { key, place: secret })
    } catch (error) {
      if (!(error instanceof DomainError)) throw error
      throw new SecretMissingError(error.message, { cause: error })
    }
  }

  /**
   * Seals with the current key what is sealed with another, so that the other is not needed any
   * more. Returns how many secrets were, and why others could not be.
   */
  async sealAnew(): Promise<{ readonly count: number; readonly refusals: readonly string[] }> {
    const { database, keys } = this.#ports
    const refusals: string[] = []
    let count = 0
    if ((await database.read(countSecrets)) === 0) return { count, refusals }
    const current = await keys.current({ mayMake: false })
    for (let last = ''; ;) {
      const names = await database.read((tx) => sealedOtherwise(tx, current.id, last))
      if (names.length === 0) return { count, refusals }
      for (const name of names) {
        try {
          await this.#sealOneAnew(name)
          count += 1
        } catch (error) {
          if (!(error instanceof DomainError)) throw error
          refusals.push(error.message)
        }
      }
      last = names.at(-1) ?? ''
    }
  }

  async #sealOneAnew(name: string): Promise<void> {
    const { database } = this.#ports
    const found = await database.read(async (tx) => {
      const secret = await getSecret(tx, name)
      return { secret, values: await findSealed(tx, secret) }
    })
    const { secret } = found
    // Its revision stays: the values are the same.
    const sealed = await this.#seal(await this.#opened(secret, found.values), secret)
    await database.transact(async (tx) => {
      // Unless somebody stored others meanwhile.
      if ((await findSecret(tx, name))?.revision !== secret.revision) return
      await putSecret(tx, secret, sealed)
    })
  }
}

/** @throws {SecretNotFoundError} */
async function getSecret(tx: ReadTransaction, name: string): Promise<SecretRecord> {
  const secret = await findSecret(tx, name)
  if (secret === undefined) throw new SecretNotFoundError(name)
  return secret
}

/**
 * The secrets that a pipeline names, by name.
 *
 * @throws {FailedPreconditionError} for one that is missing, or lacks an entry.
 */
export async function secretsOf(
  tx: ReadTransaction,
  wanted: readonly Secret[],
): Promise<ReadonlyMap<string, SecretRecord>> {
  const found = new Map<string, SecretRecord>()
  for (const { name, key } of wanted) {
    const secret = found.get(name) ?? (await findSecret(tx, name))
    if (secret === undefined) {
      throw new SecretMissingError(
        `secret ${name} does not exist; make it with: pachctl create-secret ${name}`,
      )
    }
    if (key !== undefined && !secret.entryNames.includes(key)) {
      throw new SecretMissingError(
        `secret ${name} has no entry ${key}; it has ${secret.entryNames.join(', ')}`,
      )
    }
    found.set(name, secret)
  }
  return found
}
