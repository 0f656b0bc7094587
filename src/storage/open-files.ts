import { type FileHandle, open } from 'node:fs/promises'

interface OpenFile {
  readonly handle: Promise<FileHandle>
  users: number
  dropped: boolean
}

/** Files that are read often, kept open: at most `countMax` besides those in use. */
export class OpenFiles implements AsyncDisposable {
  readonly #files = new Map<string, OpenFile>()
  readonly #countMax: number

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  /** Runs `use` on the file, opened for reading; the handle is not closed under it. */
  async with<Result>(path: string, use: (handle: FileHandle) => Promise<Result>): Promise<Result> {
    const file = this.#take(path)
    file.users += 1
    try {
      return await use(await file.handle)
    } catch (error) {
      await this.drop(path)
      throw error
    } finally {
      file.users -= 1
      if (file.dropped && file.users === 0) await close(file)
    }
  }

  /** Closes the file as soon as nobody uses it. */
  async drop(path: string): Promise<void> {
    const file = this.#files.get(path)
    if (file === undefined) return
    this.#files.delete(path)
    file.dropped = true
    if (file.users === 0) await close(file)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of this.#files.keys()) await this.drop(path)
  }

  #take(path: string): OpenFile {
    const known = this.#files.get(path)
    // A map keeps the order of insertion: what was used last goes to the end.
    if (known !== undefined) this.#files.delete(path)
    const file = known ?? { handle: open(path, 'r'), users: 0, dropped: false }
    this.#files.set(path, file)
    if (this.#files.size > this.#countMax) {
      const [oldest] = this.#files.keys()
      if (oldest !== undefined && oldest !== path) void this.drop(oldest)
    }
    return file
  }
}

async function close(file: OpenFile): Promise<void> {
  const handle = await file.handle.catch(() => undefined) // whoever asked for it saw the error
  await handle?.close()
}
