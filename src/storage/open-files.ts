import { readFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** Of the file descriptors that this process may have. */
const keptPart = 1 / 8

interface OpenFile {
  readonly handle: Promise<FileHandle>
  users: number
  dropped: boolean
}

/**
 * How many file descriptors this process may have; infinite where the system does not say. Node has raised
 * the soft limit to the hard one when it started.
 */
export function openFilesLimit(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/**
 * Files that are read often, kept open: at most `countMax` besides those in use, and fewer where this
 * process may have few descriptors.
 */
export class OpenFiles implements AsyncDisposable {
  readonly #files = new Map<string, OpenFile>()
  readonly #countMax: number

  constructor(countMax: number, limit: number = openFilesLimit()) {
    this.#countMax = Math.min(countMax, Math.max(1, Math.floor(limit * keptPart)))
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
