import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { SystemRandom } from '../base/random.ts'
import { patientRetries } from '../base/retries.ts'
import { HeldClock } from '../testing/held-clock.ts'
import type { CloudObject, NewObject, WritableBucket } from './bucket.ts'
import { Pace } from './pace.ts'
import { SteadyBucket } from './steady-bucket.ts'

const { signal } = new AbortController()
const content = Uint8Array.from({ length: 20 }, (_, index) => index)
const objects: readonly CloudObject[] = ['a', 'b', '\u{ffff}', '\u{10000}'].map((key) => ({
  key,
  sizeBytes: content.length,
  version: '1',
}))

/** A bucket that breaks off each answer after one piece of it, and fails the first try of all else. */
class BreakingBucket implements WritableBucket {
  readonly name = 's3://bucket'
  readonly asked: string[] = []
  readonly #failed = new Set<string>()

  async *list(): AsyncGenerator<CloudObject> {
    this.asked.push('list')
    const count = this.asked.filter((what) => what === 'list').length
    yield* objects.slice(0, count)
    if (count <= objects.length) throw broke()
  }

  async *read(_object: CloudObject, offset: number): AsyncGenerator<Uint8Array> {
    this.asked.push(`read ${offset}`)
    yield content.subarray(offset, offset + 8)
    if (offset + 8 < content.length) throw broke()
  }

  async find(key: string): Promise<CloudObject | undefined> {
    if (key === 'nowhere') throw new NotFoundError('no such bucket')
    this.#failOnce('find')
    return objects.find((object) => object.key === key)
  }

  async write(object: NewObject): Promise<void> {
    await object.again?.(async () => this.#failOnce('write'))
  }

  /** The answer to the first asking is lost. */
  async create(): Promise<boolean> {
    this.#failOnce('create')
    return false
  }

  async delete(): Promise<void> {
    this.#failOnce('delete')
  }

  #failOnce(what: string): void {
    this.asked.push(what)
    if (this.#failed.has(what)) return
    this.#failed.add(what)
    throw broke()
  }
}

function broke(): UnavailableError {
  return new UnavailableError('the connection broke')
}

function steady(): { readonly bucket: SteadyBucket; readonly asked: readonly string[] } {
  const clock = new HeldClock()
  clock.sleep = async (ms) => clock.advance(ms)
  const pace = new Pace({ clock, random: new SystemRandom(), retries: patientRetries }, 3, signal)
  const breaking = new BreakingBucket()
  return { bucket: new SteadyBucket(breaking, pace), asked: breaking.asked }
}

test('a list that breaks off goes on behind what it has told, in the order of bytes', async () => {
  const { bucket, asked } = steady()
  expect(await Array.fromAsync(bucket.list('', signal))).toEqual(objects)
  expect(asked).toHaveLength(5)
})

test('an object goes on at the byte where it broke off', async () => {
  const { bucket, asked } = steady()
  const [object] = objects
  const slices = object && (await Array.fromAsync(bucket.read(object, 1, signal)))
  expect(Buffer.concat(slices ?? [])).toEqual(Buffer.from(content.subarray(1)))
  expect(asked).toEqual(['read 1', 'read 9', 'read 17'])
})

test('all else is asked again, and what is not there is said at once', async () => {
  const { bucket, asked } = steady()
  expect(await bucket.find('a', signal)).toEqual(objects[0])
  await bucket.delete('a', signal)
  const object = { key: 'a', sizeBytes: 1, contentHash: 'h', read: async () => content }
  await bucket.write(object, signal)
  const whole = { sizeBytes: 1, md5: content, open: () => Readable.from([content]) }
  expect(await bucket.create('a', whole, signal)).toBe(false)
  expect(asked).toEqual(['find', 'delete', 'write', 'create'].flatMap((what) => [what, what]))
  await expect(bucket.find('nowhere', signal)).rejects.toThrow(NotFoundError)
})
