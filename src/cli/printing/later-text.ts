import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FailedPreconditionError } from '../../base/errors.ts'
import { GrowingBytes } from '../../base/growing-bytes.ts'
import type { Output } from '../../base/output.ts'

/** Gathered before it is written to the disk. */
const heldBytesMax = 1024 * 1024

/** Text that comes before it is to be printed: of more than 1 MiB, the rest waits in a file without a name. */
export class LaterText implements AsyncDisposable {
  readonly #held = new GrowingBytes()
  #file: FileHandle | undefined

  /** Await it before the next. */
  async write(text: string): Promise<void> {
    this.#held.add(Buffer.from(text))
    if (this.#held.sizeBytes > heldBytesMax) await this.#writeOut()
  }

  /** Nothing may be written after it was called. */
  async printTo(out: Pick<Output, 'write'>): Promise<void> {
    if (this.#file !== undefined) {
      const written = this.#file.createReadStream({ start: 0, autoClose: false })
      for await (const bytes of written) await out.write(bytes as Buffer)
    }
    await out.write(this.#held.joined())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close()
  }

  async #writeOut(): Promise<void> {
    try {
      this.#file ??= await openNameless()
      await this.#file.appendFile(this.#held.joined())
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new FailedPreconditionError(
        `what is to be printed last cannot be kept in ${tmpdir()}: ${reason}; name another directory with the variable TMPDIR`,
        { cause: error },
      )
    }
    this.#held.clear()
  }
}

async function openNameless(): Promise<FileHandle> {
  const directory = await mkdtemp(join(tmpdir(), 'pachctl-'))
  try {
    return await open(join(directory, 'later'), 'wx+')
  } finally {
    // From here on, the file goes with its last descriptor.
    await rm(directory, { recursive: true })
  }
}
