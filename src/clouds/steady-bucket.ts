import { compareBytes, utf8 } from '../base/bytes.ts'
import type { CloudObject, NewObject, WholeBytes, WritableBucket } from './bucket.ts'
import type { Pace } from './pace.ts'

/**
 * A bucket of a store that may be busy, or away for a while: what is asked of it is asked again at that pace,
 * and goes on where it broke off.
 */
export class SteadyBucket implements WritableBucket {
  readonly name: string
  readonly #bucket: WritableBucket
  readonly #pace: Pace

  constructor(bucket: WritableBucket, pace: Pace) {
    this.name = bucket.name
    this.#bucket = bucket
    this.#pace = pace
  }

  list(prefix: string, signal: AbortSignal): AsyncGenerator<CloudObject> {
    const bucket = this.#bucket
    let last: Uint8Array | undefined
    return this.#pace.items(async function* rest() {
      const told = last
      for await (const object of bucket.list(prefix, signal)) {
        const key = utf8(object.key)
        if (told !== undefined && compareBytes(key, told) <= 0) continue
        last = key
        yield object
      }
    })
  }

  find(key: string, signal: AbortSignal): Promise<CloudObject | undefined> {
    return this.#pace.again(() => this.#bucket.find(key, signal))
  }

  read(object: CloudObject, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const bucket = this.#bucket
    let at = offset
    return this.#pace.items(async function* rest() {
      for await (const slice of bucket.read(object, at, signal)) {
        at += slice.length
        yield slice
      }
    })
  }

  /** Of an object of several parts, each is asked for again. */
  write(object: NewObject, signal: AbortSignal): Promise<void> {
    return this.#bucket.write({ ...object, again: this.#pace.again }, signal)
  }

  /** False also when the answer to the first asking was lost. */
  create(key: string, bytes: WholeBytes, signal: AbortSignal): Promise<boolean> {
    return this.#pace.again(() => this.#bucket.create(key, bytes, signal))
  }

  delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#pace.again(() => this.#bucket.delete(key, signal))
  }
}
