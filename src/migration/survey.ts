import type { Clock } from '../base/clock.ts'
import { utf8 } from '../base/bytes.ts'
import type { OldObjects } from '../legacy/old-objects.ts'
import { chunkIdOf } from '../storage/chunk-id.ts'
import { contentSizeBytes, type Content } from '../storage/contents.ts'
import { type Intake, verified } from './content-import.ts'
import type { MigrationCounts } from './events.ts'

/** What is read whole, to learn how fast the source is. */
const sampleBytesMax = 64 * 1024 * 1024
const sampleMsMax = 3000
/** How many read at once, and share the time. */
const readersCount = 16
/** Storing costs beside reading, and trees are built: measured on generated sources. */
const storeFactor = 1.5
const msPerFile = 0.05

/**
 * Looks whether objects are there, and how large they are, in place of storing them; a sample is read whole.
 * The contents have no bytes: equal ones are equal, and no more can be said of them.
 */
export class Survey implements Intake {
  readonly #objects: OldObjects
  readonly #clock: Clock
  #sampledBytes = 0
  #sampledCount = 0
  #sampledMs = 0

  constructor({ objects, clock }: { readonly objects: OldObjects; readonly clock: Clock }) {
    this.#objects = objects
    this.#clock = clock
  }

  /** What a migration is likely to take. */
  estimatedMs(counts: Readonly<MigrationCounts>): number {
    const sampled = Math.max(this.#sampledBytes, 1)
    const byBytes = (this.#sampledMs / sampled) * counts.objectBytes
    const byCount = (this.#sampledMs / Math.max(this.#sampledCount, 1)) * counts.objects
    return Math.max(byBytes, byCount) * storeFactor + counts.files * msPerFile
  }

  async take(hash: string): Promise<Content> {
    const sizeBytes = await this.#objects.sizeBytes(hash)
    if (this.#sampledBytes < sampleBytesMax && this.#sampledMs < sampleMsMax) {
      await this.#sample(hash)
    }
    return contentOf(hash, sizeBytes)
  }

  append(head: Content, tail: Content): Promise<Content> {
    const sizeBytes = contentSizeBytes(head) + contentSizeBytes(tail)
    const parts = [head, tail].filter((part) => contentSizeBytes(part) > 0)
    const [only = head, ...others] = parts
    if (others.length === 0) return Promise.resolve(only)
    return Promise.resolve(contentOf(parts.map(nameOf).join(), sizeBytes))
  }

  async #sample(hash: string): Promise<void> {
    const startedMs = this.#clock.monotonicMs()
    for await (const piece of verified(hash, this.#objects.read(hash))) {
      this.#sampledBytes += piece.length
    }
    this.#sampledCount += 1
    this.#sampledMs += (this.#clock.monotonicMs() - startedMs) / readersCount
  }
}

function contentOf(name: string, sizeBytes: number): Content {
  if (sizeBytes === 0) return { kind: 'inline', bytes: new Uint8Array(0) }
  return { kind: 'list', root: chunkIdOf(utf8(name)), sizeBytes }
}

function nameOf(content: Content): string {
  return content.kind === 'list' ? content.root : ''
}
