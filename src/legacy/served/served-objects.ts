import type { ByteStream } from '../../base/bytes.ts'
import { type Client, createClient } from '../../client/client.ts'
import { RpcError } from '../../client/rpc-error.ts'
import { ObjectAPI } from '../../gen/pfs_pb.ts'
import {
  isPlainTag,
  OldObjectNotFoundError,
  requireObjectHash,
  type OldObjects,
} from '../old-objects.ts'
import type { ServedCalls } from './served-calls.ts'

/** What a server hands out by its name. */
export class ServedObjects implements OldObjects {
  readonly name: string
  readonly #calls: ServedCalls
  readonly #client: Client<typeof ObjectAPI>

  constructor(calls: ServedCalls) {
    this.name = calls.name
    this.#calls = calls
    this.#client = createClient(ObjectAPI, calls.transport)
  }

  async *read(hash: string): ByteStream {
    requireObjectHash(hash)
    try {
      for await (const { value } of this.#client.getObject({ hash }, this.#calls.options)) {
        yield value
      }
    } catch (error) {
      throw this.#worded(error, hash)
    }
  }

  async sizeBytes(hash: string): Promise<number> {
    requireObjectHash(hash)
    try {
      const { blockRef } = await this.#client.inspectObject({ hash }, this.#calls.options)
      return Number((blockRef?.range?.upper ?? 0n) - (blockRef?.range?.lower ?? 0n))
    } catch (error) {
      throw this.#worded(error, hash)
    }
  }

  async findTag(name: string): Promise<string | undefined> {
    if (!isPlainTag(name)) return undefined
    try {
      const { object } = await this.#client.inspectTag({ name }, this.#calls.options)
      return object?.hash
    } catch (error) {
      if (error instanceof RpcError && isAbsent(error)) return undefined
      throw this.#worded(error, name)
    }
  }

  async listTags(prefix: string, onTag: (name: string) => void): Promise<boolean> {
    try {
      for await (const { tag } of this.#client.listTags({ prefix }, this.#calls.options)) {
        if (tag !== '') onTag(tag)
      }
      return true
    } catch (error) {
      // 1.4.0 to 1.4.6 do not know the call, and servers that keep objects as files cannot answer it.
      if (error instanceof RpcError) return false
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #worded(error: unknown, what: string): unknown {
    if (!(error instanceof RpcError) || !isAbsent(error)) return this.#calls.worded(error)
    return new OldObjectNotFoundError(`${this.name} says: ${error.message} (${what})`, {
      cause: error,
    })
  }
}

function isAbsent({ message }: RpcError): boolean {
  return /not found|no such file/.test(message)
}
