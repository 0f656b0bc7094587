import { copyBytes, equalBytes, utf8 } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { FailedPreconditionError, UnavailableError } from '../../base/errors.ts'
import { type Address, addressText } from '../../client/address.ts'
import { type Client, createClient } from '../../client/client.ts'
import { RpcError } from '../../client/rpc-error.ts'
import { KV, type KeyValue } from '../../gen/etcd_pb.ts'
import { NodeTransport } from '../../node-client/node-transport.ts'
import { beginningOf, KeyBeginnings } from './key-beginnings.ts'
import type { OldMetadata, StoredRecord } from './old-metadata.ts'
import { keyText } from './snapshot-file.ts'

/** etcd takes messages of 4 MiB from its clients' libraries, and answers with larger ones. */
const pageCountMax = 500
/** Answers that are waited for to say what keys begin with. */
const beginningCountMax = 2000
const callMsMax = 60_000
const advice =
  'look whether the address is right, and can be reached from this server; in a cluster, kubectl port-forward can make it so'

/** An etcd that runs: read page by page at the revision that it had when it was opened. */
export class LiveEtcd implements OldMetadata {
  readonly name: string
  readonly revision: number
  readonly #transport: NodeTransport
  readonly #kv: Client<typeof KV>
  readonly #signal: AbortSignal

  constructor(
    transport: NodeTransport,
    facts: { readonly name: string; readonly revision: number },
    signal: AbortSignal,
  ) {
    this.name = facts.name
    this.revision = facts.revision
    this.#transport = transport
    this.#kv = createClient(KV, transport)
    this.#signal = signal
  }

  /** @throws {UnavailableError} @throws {FailedPreconditionError} when it is none of version 3. */
  static async open(address: Address, clock: Clock, signal: AbortSignal): Promise<LiveEtcd> {
    const name = `etcd at ${addressText(address)}`
    const transport = new NodeTransport(address, clock, { name: 'etcd', advice })
    try {
      const request = { key: utf8('a'), countOnly: true }
      const { header } = await worded(name, () =>
        createClient(KV, transport).range(request, { signal, timeoutMs: callMsMax }),
      )
      return new LiveEtcd(transport, { name, revision: Number(header?.revision ?? 0n) }, signal)
    } catch (error) {
      await transport[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]()
  }

  async list(prefix: string): Promise<readonly StoredRecord[]> {
    const rangeEnd = endOf(utf8(prefix))
    const records: StoredRecord[] = []
    for (let key = utf8(prefix); ;) {
      const request = {
        key,
        rangeEnd,
        limit: BigInt(pageCountMax),
        revision: BigInt(this.revision),
      }
      const { kvs, more } = await this.#range(request)
      records.push(...kvs.map(recordOf))
      const last = kvs.at(-1)
      if (!more || last === undefined) break
      key = next(last.key)
    }
    return records.toSorted((left, right) => left.modRevision - right.modRevision)
  }

  /** Of all that begin alike one key is asked for, so that a large etcd answers as soon as a small one. */
  async beginnings(): Promise<readonly string[]> {
    const beginnings = new KeyBeginnings()
    let from: Uint8Array = Uint8Array.of(0)
    for (let count = 0; count < beginningCountMax; count += 1) {
      const { kvs } = await this.#range({
        key: from,
        rangeEnd: Uint8Array.of(0),
        limit: 1n,
        keysOnly: true,
        revision: BigInt(this.revision),
      })
      const [first] = kvs
      if (first === undefined) break
      const key = keyText(first.key)
      beginnings.add(key)
      const beginning = utf8(beginningOf(key))
      const isTold = equalBytes(first.key.subarray(0, beginning.length), beginning)
      from = isTold ? endOf(beginning) : next(first.key)
    }
    return beginnings.all
  }

  forget(): void {
    // Nothing is held.
  }

  async hasChanged(prefixes: readonly string[]): Promise<boolean> {
    for (const prefix of prefixes) {
      const range = { key: utf8(prefix), rangeEnd: endOf(utf8(prefix)), countOnly: true }
      const then = await this.#range({ ...range, revision: BigInt(this.revision) })
      const now = await this.#range(range)
      if (then.count !== now.count) return true
      const { kvs } = await this.#range({
        ...range,
        countOnly: false,
        limit: 1n,
        minModRevision: BigInt(this.revision + 1),
      })
      if (kvs.length > 0) return true
    }
    return false
  }

  async #range(
    request: Parameters<Client<typeof KV>['range']>[0],
  ): ReturnType<Client<typeof KV>['range']> {
    const options = { signal: this.#signal, timeoutMs: callMsMax }
    return await worded(this.name, () => this.#kv.range(request, options))
  }
}

async function worded<Answer>(name: string, ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    if (/compacted/.test(error.message)) {
      throw new FailedPreconditionError(
        `${name} has forgotten the revision that was being read: it is being compacted; try again, or migrate from a snapshot`,
        { cause: error },
      )
    }
    throw new UnavailableError(`${name} says: ${error.message}`, { cause: error })
  }
}

function recordOf({ key, value, modRevision }: KeyValue): StoredRecord {
  return { key: keyText(key), value: copyBytes(value), modRevision: Number(modRevision) }
}

/** The first key behind all that begin with `prefix`. */
function endOf(prefix: Uint8Array): Uint8Array {
  const end = copyBytes(prefix)
  end[end.length - 1] = (end.at(-1) ?? 0) + 1
  return end
}

/** The first key behind `key`. */
function next(key: Uint8Array): Uint8Array {
  const following = new Uint8Array(key.length + 1)
  following.set(key)
  return following
}
