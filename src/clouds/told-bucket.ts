import type { CloudObject, NewObject, PlacedBucket, WholeBytes } from './bucket.ts'
import { ToldWaits, type WaitPorts } from './told-waits.ts'

/** A bucket of which somebody is told when it is asked in vain. */
export class ToldBucket implements PlacedBucket {
  readonly name: string
  readonly #bucket: PlacedBucket
  readonly #waits: ToldWaits

  constructor(bucket: PlacedBucket, ports: WaitPorts) {
    this.name = bucket.name
    this.#bucket = bucket
    this.#waits = new ToldWaits(ports, bucket)
  }

  get endpoint(): string {
    return this.#bucket.endpoint
  }

  list(prefix: string, signal: AbortSignal): AsyncGenerator<CloudObject> {
    return this.#items(this.#bucket.list(prefix, signal))
  }

  find(key: string, signal: AbortSignal): Promise<CloudObject | undefined> {
    return this.#waits.answered(() => this.#bucket.find(key, signal))
  }

  read(object: CloudObject, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    return this.#items(this.#bucket.read(object, offset, signal))
  }

  readRange(
    ...args: Parameters<PlacedBucket['readRange']>
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    return this.#waits.answered(() => this.#bucket.readRange(...args))
  }

  write(object: NewObject, signal: AbortSignal): Promise<void> {
    const { again } = object
    if (again === undefined) return this.#waits.sent(() => this.#bucket.write(object, signal))
    const told: NewObject['again'] = (request) => again(() => this.#waits.sent(request))
    return this.#bucket.write({ ...object, again: told }, signal)
  }

  create(key: string, bytes: WholeBytes, signal: AbortSignal): Promise<boolean> {
    return this.#waits.sent(() => this.#bucket.create(key, bytes, signal))
  }

  replace(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#waits.answered(() => this.#bucket.replace(key, bytes, signal))
  }

  delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#waits.answered(() => this.#bucket.delete(key, signal))
  }

  /** The first of them is waited for; what comes behind it comes in its time. */
  async *#items<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item> {
    const iterator = items[Symbol.asyncIterator]()
    try {
      let next = await this.#waits.answered(() => iterator.next())
      while (next.done !== true) {
        yield next.value
        next = await iterator.next()
      }
    } finally {
      await iterator.return?.()
    }
  }
}
