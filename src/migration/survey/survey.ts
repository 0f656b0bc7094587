import type { Clock } from '../../base/clock.ts'
import { utf8 } from '../../base/bytes.ts'
import { sizeText } from '../../base/sizes.ts'
import type { OldObjects } from '../../legacy/old-objects.ts'
import { chunkIdOf } from '../../storage/chunk-id.ts'
import { contentSizeBytes, type Content } from '../../storage/contents.ts'
import { type Intake, verified } from '../contents/content-import.ts'
import type { MigrationCounts } from '../events.ts'
import { BusyTime, SourceSpeed } from './source-speed.ts'

/** Of the sample. */
const sampleBytesMax = 64 * 1024 * 1024
const sampleMsMax = 3000
/** Longer objects are read in part. */
const objectBytesMax = 8 * 1024 * 1024
/** From the half of the sample on, one of so many is read: stores change, and files with time. */
const stride = 64

export interface Estimate {
  /** What is known that a migration takes. */
  readonly leastMs: number
  /** What that is made of, for people. */
  readonly reason: string
}

/**
 * Looks whether objects are there, and how large they are, in place of storing them; a sample is read whole.
 * The contents have no bytes: equal ones are equal, and no more can be said of them.
 */
export class Survey implements Intake {
  readonly #objects: Pick<OldObjects, 'read' | 'sizeBytes'>
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #speed = new SourceSpeed()
  /** Of looking and sampling: what a migration does not do. */
  readonly #looking = new BusyTime()
  #seenCount = 0

  constructor({
    objects,
    clock,
  }: {
    readonly objects: Pick<OldObjects, 'read' | 'sizeBytes'>
    readonly clock: Pick<Clock, 'monotonicMs'>
  }) {
    this.#objects = objects
    this.#clock = clock
  }

  /** @param tookMs what all took in which this was the intake. */
  estimate(counts: Readonly<MigrationCounts>, tookMs: number): Estimate {
    const speed = this.#speed
    const { objects, objectBytes: bytes } = counts
    const readingMs = speed.msFor({ objects, bytes })
    const otherMs = Math.max(0, tookMs - this.#looking.ms)
    const { msEach, msPerByte } = speed.costs
    const rate = msPerByte > 0 ? ` and ${sizeText((1000 / msPerByte) * speed.atOnce)} a second` : ''
    const reason =
      speed.count === 0
        ? 'trees and records took that here, and there is nothing to read'
        : `${secondsText(otherMs)} for trees and records, as here, and ${secondsText(readingMs)} to read ${objects} contents, by a sample of ${speed.count}: an answer after ${msEach.toFixed(1)}ms${rate}, ${speed.atOnce.toFixed(0)} at once. What storing them takes comes on top`
    return { leastMs: otherMs + readingMs, reason }
  }

  async take(hash: string): Promise<Content> {
    this.#looking.begin(this.#clock.monotonicMs())
    try {
      const sizeBytes = await this.#objects.sizeBytes(hash)
      this.#seenCount += 1
      if (this.#isWanted()) await this.#sample(hash)
      return contentOf(hash, sizeBytes)
    } finally {
      this.#looking.end(this.#clock.monotonicMs())
    }
  }

  #isWanted(): boolean {
    const { busy, bytes } = this.#speed
    const part = Math.max(bytes / sampleBytesMax, busy.ms / sampleMsMax)
    return part < 0.5 || (part < 1 && this.#seenCount % stride === 0)
  }

  append(head: Content, tail: Content): Promise<Content> {
    const sizeBytes = contentSizeBytes(head) + contentSizeBytes(tail)
    const parts = [head, tail].filter((part) => contentSizeBytes(part) > 0)
    const [only = head, ...others] = parts
    if (others.length === 0) return Promise.resolve(only)
    return Promise.resolve(contentOf(parts.map(nameOf).join(), sizeBytes))
  }

  /** What is read whole is compared with its name. */
  async #sample(hash: string): Promise<void> {
    const { busy } = this.#speed
    const startedMs = this.#clock.monotonicMs()
    busy.begin(startedMs)
    let bytes = 0
    try {
      for await (const piece of verified(hash, this.#objects.read(hash))) {
        bytes += piece.length
        if (bytes >= objectBytesMax) break
      }
    } finally {
      busy.end(this.#clock.monotonicMs())
    }
    this.#speed.add(bytes, this.#clock.monotonicMs() - startedMs)
  }
}

function secondsText(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)}s` : `${Math.round(ms / 1000)}s`
}

function contentOf(name: string, sizeBytes: number): Content {
  if (sizeBytes === 0) return { kind: 'inline', bytes: new Uint8Array(0) }
  return { kind: 'list', root: chunkIdOf(utf8(name)), sizeBytes }
}

function nameOf(content: Content): string {
  return content.kind === 'list' ? content.root : ''
}
