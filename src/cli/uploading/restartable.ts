import type { ByteStream } from '../../base/bytes.ts'
import { FailedPreconditionError } from '../../base/errors.ts'

/** What is kept of a stream to read it again: more than a server lets come before it answers. */
const keptBytesMax = 4 * 1024 * 1024

/**
 * A stream that can be read again from its start, for as long as no more than 4 MiB of it have been
 * read. A read that was under way when its reader gave up is not lost to the next one.
 */
export class Restartable implements Disposable {
  readonly #source: AsyncIterator<Uint8Array>
  #kept: Promise<IteratorResult<Uint8Array>>[] | undefined = []
  #keptBytes = 0

  constructor(source: ByteStream) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /**
   * The stream from its start. Only the newest may be read.
   *
   * @throws {FailedPreconditionError} from reading, when the start is not kept any more.
   */
  async *bytes(): AsyncGenerator<Uint8Array> {
    if (this.#kept === undefined) {
      throw new FailedPreconditionError(
        'the server does not take files as this pachctl sends them, and said so too late to begin again; store the content in a file and put that',
      )
    }
    for (let index = 0; ; index += 1) {
      const next = await this.#read(index)
      if (next.done === true) return
      yield next.value
    }
  }

  /** Does not wait: a read that is under way may be of a terminal at which nobody types. */
  [Symbol.dispose](): void {
    this.#kept = undefined
    this.#source.return?.().catch(() => undefined) // nobody reads any more
  }

  async #read(index: number): Promise<IteratorResult<Uint8Array>> {
    const known = this.#kept?.[index]
    if (known !== undefined) return known
    const read = this.#source.next()
    this.#kept?.push(read)
    const result = await read
    this.#keptBytes += result.done === true ? 0 : result.value.length
    if (this.#keptBytes > keptBytesMax) this.#kept = undefined
    return result
  }
}
