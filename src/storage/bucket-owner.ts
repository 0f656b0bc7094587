import { concatBytes, utf8 } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { DataLossError, FailedPreconditionError } from '../base/errors.ts'
import { ownerName } from './bucket-objects.ts'
import type { ObjectBucket } from './object-bucket.ts'
import { retried, type RetryPorts } from '../base/retries.ts'

/** Who uses a bucket: `docs/formats/buckets.md`. */
export interface BucketOwner {
  /** The id of the data directory's store. */
  readonly store: string
  /** Drawn at each start. Whoever knows another one has been left behind. */
  readonly session: string
  /** The machine, for people. */
  readonly host: string
}

/** Another pachd has taken the bucket since: this one may change nothing in it any more. */
export class BucketTakenError extends FailedPreconditionError {
  override readonly name = 'BucketTakenError'
}

/** So long what was seen of the owner is relied on for a put, which destroys nothing. */
const seenMs = 5000

/** More than ours ever has. */
const ownerBytesMax = 4096

const ownerPattern =
  /^pachyderm-ts bucket ([1-9]\d{0,8})\nstore ([0-9a-f]{32})\nsession ([0-9a-f]{32})\nhost ([^\n]{0,255})\n$/
const formatVersion = 1

export interface OwnerPorts extends RetryPorts {
  readonly bucket: ObjectBucket
  readonly prefix: string
  readonly signal: AbortSignal
}

/** Undefined when nobody is noted. @throws {DataLossError} when what is noted makes no sense. */
export async function readOwner(ports: OwnerPorts): Promise<BucketOwner | undefined> {
  const { bucket, prefix } = ports
  const parts = await retried(ports, ports.signal, async () => {
    const range = { offset: 0, length: ownerBytesMax }
    const bytes = await bucket.readRange(prefix + ownerName, range, ports.signal)
    return bytes === undefined ? undefined : await Array.fromAsync(bytes)
  })
  if (parts === undefined) return undefined
  return parseOwner(
    Buffer.from(concatBytes(parts)).toString(),
    `${bucket.name}/${prefix}${ownerName}`,
  )
}

/** @throws {DataLossError} @throws {FailedPreconditionError} when a newer release wrote it. */
export function parseOwner(text: string, where: string): BucketOwner {
  const [, version, store, session, host] = ownerPattern.exec(text) ?? []
  if (store === undefined || session === undefined || host === undefined) {
    const newer = /^pachyderm-ts bucket ([1-9]\d{0,8})\n/.exec(text)?.[1]
    if (newer !== undefined && Number(newer) > formatVersion) throw newerError(where, newer)
    throw new DataLossError(
      `${where} does not say who uses the bucket: restore it, or use another prefix`,
    )
  }
  if (Number(version) > formatVersion) throw newerError(where, version ?? '')
  return { store, session, host }
}

function newerError(where: string, version: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `${where} was written by a newer release (format ${version}); this release knows format ${formatVersion}: use the newer release`,
  )
}

export async function writeOwner(ports: OwnerPorts, owner: BucketOwner): Promise<void> {
  const { bucket, prefix, signal } = ports
  const bytes = utf8(ownerText(owner))
  await retried(ports, signal, () => bucket.replace(prefix + ownerName, bytes, signal))
}

export function ownerText({ store, session, host }: BucketOwner): string {
  const shown = host.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 255)
  return `pachyderm-ts bucket ${formatVersion}\nstore ${store}\nsession ${session}\nhost ${shown}\n`
}

/** The name of something that is kept there, other than the owner; undefined when there is nothing. */
export async function anythingIn(ports: OwnerPorts): Promise<string | undefined> {
  const { bucket, prefix, signal } = ports
  return await retried(ports, signal, async () => {
    for await (const { key } of bucket.list(prefix, signal)) {
      const name = key.slice(prefix.length)
      // Consoles make empty objects for what they show as folders.
      if (name !== '' && name !== ownerName) return name
    }
    return undefined
  })
}

/**
 * Looks, before the bucket is changed, whether it still is this server's: a copy of the data directory may
 * have been started elsewhere.
 */
export class OwnerWatch {
  readonly #ports: OwnerPorts
  readonly #clock: Clock
  readonly #owner: BucketOwner
  #seenAtMs = -Infinity
  #looking: Promise<void> | undefined

  constructor(ports: OwnerPorts, owner: BucketOwner) {
    this.#ports = ports
    this.#clock = ports.clock
    this.#owner = owner
  }

  /** @throws {BucketTakenError} when another has it. */
  async check(change: 'put' | 'delete'): Promise<void> {
    if (change === 'delete') return await this.#look()
    if (this.#clock.monotonicMs() - this.#seenAtMs < seenMs) return
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    await this.#looking
  }

  async #look(): Promise<void> {
    const atMs = this.#clock.monotonicMs()
    const found = await readOwner(this.#ports)
    if (found?.session === this.#owner.session) {
      this.#seenAtMs = atMs
      return
    }
    const { bucket, prefix } = this.#ports
    const where = `${bucket.name}/${prefix}`
    throw new BucketTakenError(
      found === undefined
        ? `${where} does not say any more that it is this server's: its ${ownerName} is gone; stop the server, and see who has removed it`
        : `${where} is used by another pachd now, on ${found.host}, which was started on a copy of this data directory: stop one of the two, and look in docs/object-stores.md which of them is to stay`,
    )
  }
}
