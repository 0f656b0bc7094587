import { utf8Text } from '../base/bytes.ts'
import { SystemClock } from '../base/clock.ts'
import type { JobRecord } from '../pipelines/job-records.ts'
import { failing } from './failing-code.ts'
import { MemoryBucket } from './memory-bucket.ts'
import { atom, openTestProcessing, type TestProcessing } from './test-processing.ts'

const { signal } = new AbortController()
export const egressUrl = 's3://memory/to'

/** Up to the longest pause. */
export const doublings: readonly number[] = [500, 1000, 2000, 4000, 8000, 16_000, 32_000]

/** Nobody waits long; what was asked for is noted. */
class HastyClock extends SystemClock {
  readonly slept: number[] = []

  override async sleep(ms: number, stop?: AbortSignal): Promise<void> {
    this.slept.push(ms)
    await super.sleep(Math.min(ms, 5), stop)
  }
}

export class ExportingWorld implements AsyncDisposable {
  readonly bucket: MemoryBucket = new MemoryBucket()
  readonly clock: HastyClock = new HastyClock()
  #opened: TestProcessing | undefined

  /** A repo `in`, and a pipeline `p` that copies it and exports what it made; `bad` fails. */
  static async open(glob = '/*'): Promise<ExportingWorld> {
    const world = new ExportingWorld()
    const { bucket, clock } = world
    world.#opened = await openTestProcessing(undefined, { bucket, clock })
    const { test: processing } = world
    await processing.versioning.repos.create({ name: 'in' })
    processing.code('p', (files) => {
      if ([...files.values()].includes('bad')) failing('exit code 3')
      return Object.fromEntries([...files].map(([path, text]) => [path.slice(3), text]))
    })
    await processing.pipeline('p', atom('in', glob), { egressUrl })
    return world
  }

  get test(): TestProcessing {
    if (this.#opened === undefined) throw new Error('not open')
    return this.#opened
  }

  objects(): Readonly<Record<string, string>> {
    const found = [...this.bucket.objects].map(([key, { bytes }]) => [key, utf8Text(bytes)])
    return Object.fromEntries(found) as Record<string, string>
  }

  /** What writing to the bucket does from now on, instead of what it should. */
  fail(cause: Error | undefined): void {
    this.bucket.onCall = (call) => {
      if (call === 'write' && cause !== undefined) throw cause
    }
  }

  /** Notes what is asked of the bucket from now on, such as `find to/a`. */
  listen(): readonly string[] {
    const asked: string[] = []
    this.bucket.onCall = (call, key) => void asked.push(`${call} ${key}`)
    return asked
  }

  async newest(): Promise<JobRecord | undefined> {
    return (await this.test.processing.jobs.list('p'))[0]
  }

  async reason(): Promise<string | undefined> {
    return (await this.newest())?.reason
  }

  async ended(): Promise<JobRecord> {
    return await this.test.processing.jobs.waitForEnd((await this.newest())?.id ?? '', signal)
  }

  /** After failures, without what chance adds, by which they are told from others. */
  pauses(): readonly number[] {
    const slept = this.clock.slept.filter((ms) => !Number.isInteger(ms))
    return doublings.filter((least) => slept.some((ms) => ms > least && ms < least * 1.5))
  }

  async hasOutput(): Promise<boolean> {
    return (await this.test.versioning.branches.list('p')).length > 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.test[Symbol.asyncDispose]()
  }
}
