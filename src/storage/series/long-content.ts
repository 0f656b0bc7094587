import { copyBytes } from '../../base/bytes.ts'
import { SliceQueue } from '../../base/slice-queue.ts'
import type { Content } from '../contents.ts'

/** A content that is stored while its bytes are still being pushed. */
export class LongContent {
  /** Fails as soon as storing does. */
  readonly content: Promise<Content>
  readonly #queue: SliceQueue
  #wanted: PromiseWithResolvers<undefined> | undefined

  constructor(write: (bytes: AsyncIterable<Uint8Array>) => Promise<Content>) {
    this.#queue = new SliceQueue(() => {
      this.#wanted?.resolve(undefined)
      this.#wanted = undefined
    })
    this.content = write(slicesOf(this.#queue))
    this.content.catch(() => undefined) // whoever waits for it sees its failure
  }

  /** Copies the bytes. */
  push(bytes: Uint8Array): void {
    if (!this.#queue.push(copyBytes(bytes))) this.#wanted ??= Promise.withResolvers<undefined>()
  }

  end(): void {
    this.#queue.end()
  }

  /** Ends it without a content. */
  fail(error: Error): void {
    this.#queue.fail(error)
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    if (this.#wanted !== undefined) await Promise.race([this.#wanted.promise, this.content])
  }
}

async function* slicesOf(queue: SliceQueue): AsyncGenerator<Uint8Array> {
  for (;;) {
    const slice = await queue.next()
    if (slice === undefined) return
    yield slice
  }
}
