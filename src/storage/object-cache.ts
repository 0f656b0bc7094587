import { constants, link, open, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectories } from './directories.ts'
import { directoryError } from './file-errors.ts'
import { type ObjectKey, objectKeyOf } from './object-store.ts'
import { OpenFiles } from './open-files.ts'

/** So much is fetched and kept at once. */
const blockBytes: number = 1024 * 1024
const openFilesMax = 128
/** So many pieces of objects are in memory on their way at once. */
const fetchesMax = 16
const partSuffix = '.part'
/** So much of the disk is left to others, who need it more: what is put has nowhere else to go. */
const freeBytesMin = 1024 ** 3

/** Reads bytes of an object where it really is: as many as there are, up to `length`. */
export type Fetch = (offset: number, length: number) => Promise<Uint8Array>

/** The blocks of an object that are on the disk. */
interface Kept {
  readonly key: ObjectKey
  readonly path: string
  readonly blocks: Set<number>
  readonly fetching: Map<number, Promise<void>>
  heldBytes: number
  /** The size of the object; undefined until its end has been read. */
  endBytes: number | undefined
  isDropped: boolean
}

/** What was kept is not what it should be; what is fetched anew is. */
class CacheFault extends Error {}

/**
 * Blocks of objects, as files of a directory that this cache alone uses: at most `bytesMax` of them, and
 * those go first that have not been read for the longest time; also when the disk has less than 1 GiB left.
 * Objects of which all is there stay over a
 * restart. Callers check what they read; what is wrong is fetched anew after `drop`.
 */
export class ObjectCache implements AsyncDisposable {
  readonly #directory: string
  readonly #bytesMax: number
  readonly #freeBytes: () => Promise<number>
  readonly #files = new OpenFiles(openFilesMax)
  /** What was read last is last. */
  readonly #kept = new Map<ObjectKey, Kept>()
  readonly #settling = new Set<Promise<void>>()
  readonly #waiting: (() => void)[] = []
  #fetchCount = 0
  #heldBytes = 0
  #fileCount = 0

  private constructor(directory: string, bytesMax: number, freeBytes: () => Promise<number>) {
    this.#directory = directory
    this.#bytesMax = bytesMax
    this.#freeBytes = freeBytes
  }

  /** `freeBytes` tells how much room the disk has. */
  static async open(
    directory: string,
    bytesMax: number,
    freeBytes: () => Promise<number> = () => freeBytesAt(directory),
  ): Promise<ObjectCache> {
    const cache = new ObjectCache(directory, bytesMax, freeBytes)
    try {
      await makeDirectories(directory)
      await cache.#load()
    } catch (error) {
      throw directoryError(error, `cache directory ${directory}`, directory)
    }
    return cache
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Fills `into` with bytes of an object from `offset`, as many as there are; resolves to how many. */
  async read(key: ObjectKey, offset: number, into: Uint8Array, fetch: Fetch): Promise<number> {
    if (into.length > 0 && into.length + 2 * blockBytes <= this.#bytesMax) {
      const kept = this.#take(key)
      try {
        await this.#complete(kept, { offset, length: into.length }, fetch)
        return await this.#readKept(kept, offset, into)
      } catch (error) {
        // The disk is full, or somebody has been at the files: what is asked for is elsewhere, too.
        if (error instanceof CacheFault || kept.heldBytes === 0) this.drop(key, kept)
        if (!(error instanceof CacheFault)) throw error
      }
    }
    const bytes = await this.#inTurn(() => fetch(offset, into.length))
    into.set(bytes)
    return bytes.length
  }

  /** Keeps all of an object; `linkTo` makes a path a name of a file with its bytes, which are durable. */
  async adopt(
    key: ObjectKey,
    sizeBytes: number,
    linkTo: (path: string) => Promise<void>,
  ): Promise<void> {
    if (sizeBytes > this.#bytesMax || !(await this.#leaveRoom())) return
    this.drop(key)
    const path = this.#newPath(key)
    await linkTo(path)
    this.#add(key, path, sizeBytes)
    this.#makeRoom()
  }

  /** What is kept of the object is forgotten; of `which`, unless another has taken its place. */
  drop(key: ObjectKey, which?: Kept): void {
    const kept = this.#kept.get(key)
    if (kept === undefined || (which !== undefined && which !== kept)) return
    this.#kept.delete(key)
    kept.isDropped = true
    this.#heldBytes -= kept.heldBytes
    this.#remove(kept)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#settling)
    await this.#files[Symbol.asyncDispose]()
  }

  /** What is not whole is worth nothing after a crash: nobody knows how much of it was written. */
  async #load(): Promise<void> {
    const whole: { key: ObjectKey; path: string; sizeBytes: number; atMs: number }[] = []
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name)
      const match = /^([^~]+)~(\d+)$/.exec(name)
      const key = objectKeyOf((match?.[1] ?? '').replaceAll('+', '/'))
      if (key === undefined) {
        await rm(path, { recursive: true, force: true })
        continue
      }
      this.#fileCount = Math.max(this.#fileCount, Number(match?.[2]))
      const { size, mtimeMs } = await stat(path)
      whole.push({ key, path, sizeBytes: size, atMs: mtimeMs })
    }
    for (const { key, path, sizeBytes } of whole.toSorted((a, b) => a.atMs - b.atMs)) {
      this.drop(key)
      this.#add(key, path, sizeBytes)
    }
    this.#makeRoom()
  }

  #add(key: ObjectKey, path: string, sizeBytes: number): void {
    const blocks = new Set(Array.from({ length: Math.ceil(sizeBytes / blockBytes) }, (_, at) => at))
    const kept = { key, path, blocks, fetching: new Map(), isDropped: false }
    this.#kept.set(key, { ...kept, heldBytes: sizeBytes, endBytes: sizeBytes })
    this.#heldBytes += sizeBytes
  }

  #take(key: ObjectKey): Kept {
    const known = this.#kept.get(key)
    if (known !== undefined) this.#kept.delete(key)
    const kept = known ?? {
      key,
      path: this.#newPath(key) + partSuffix,
      blocks: new Set(),
      fetching: new Map(),
      heldBytes: 0,
      endBytes: undefined,
      isDropped: false,
    }
    this.#kept.set(key, kept)
    return kept
  }

  #newPath(key: ObjectKey): string {
    this.#fileCount += 1
    return join(this.#directory, `${key.replaceAll('/', '+')}~${this.#fileCount}`)
  }

  /** Fetches what is missing of a range, in whole blocks; of what is on its way it waits. */
  async #complete(
    kept: Kept,
    { offset, length }: { readonly offset: number; readonly length: number },
    fetch: Fetch,
  ): Promise<void> {
    const end = Math.min(offset + length, kept.endBytes ?? Infinity)
    const last = Math.ceil(end / blockBytes)
    const running = new Set<Promise<void>>()
    let start: number | undefined
    for (let index = Math.floor(offset / blockBytes); index <= last; index += 1) {
      const isMissing = index < last && !kept.blocks.has(index)
      const fetching = isMissing ? kept.fetching.get(index) : undefined
      if (fetching !== undefined) running.add(fetching)
      if (isMissing && fetching === undefined) start ??= index
      else if (start !== undefined) {
        running.add(this.#startFetch(kept, { start, end: index }, fetch))
        start = undefined
      }
    }
    await Promise.all(running)
  }

  #startFetch(
    kept: Kept,
    blocks: { readonly start: number; readonly end: number },
    fetch: Fetch,
  ): Promise<void> {
    const done = this.#fetch(kept, blocks, fetch).finally(() => {
      for (let index = blocks.start; index < blocks.end; index += 1) kept.fetching.delete(index)
    })
    for (let index = blocks.start; index < blocks.end; index += 1) kept.fetching.set(index, done)
    return done
  }

  async #fetch(
    kept: Kept,
    { start, end }: { readonly start: number; readonly end: number },
    fetch: Fetch,
  ): Promise<void> {
    const offset = start * blockBytes
    const length = (end - start) * blockBytes
    const bytes = await this.#inTurn(() => fetch(offset, length))
    if (!(await this.#leaveRoom())) throw new CacheFault('the disk is nearly full')
    await faulty(this.#write(kept, offset, bytes))
    if (bytes.length < length && kept.endBytes === undefined && bytes.length > 0) {
      kept.endBytes = offset + bytes.length
    }
    for (let index = start; index < end; index += 1) kept.blocks.add(index)
    kept.heldBytes += bytes.length
    if (kept.isDropped) return
    this.#heldBytes += bytes.length
    this.#makeRoom()
    if (kept.endBytes !== undefined && kept.heldBytes === kept.endBytes) this.#settle(kept)
  }

  /** Runs `work` when fewer than `fetchesMax` others run. */
  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#fetchCount < fetchesMax) this.#fetchCount += 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#fetchCount -= 1
      else next()
    }
  }

  async #write(kept: Kept, offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return
    {
      await using file = await open(kept.path, constants.O_RDWR | constants.O_CREAT, 0o600)
      let written = 0
      while (written < bytes.length) {
        const left = bytes.length - written
        const { bytesWritten } = await file.write(bytes, written, left, offset + written)
        written += bytesWritten
      }
    }
    if (kept.isDropped) await rm(kept.path, { force: true })
  }

  async #readKept(kept: Kept, offset: number, into: Uint8Array): Promise<number> {
    const wanted = Math.max(0, Math.min(into.length, (kept.endBytes ?? Infinity) - offset))
    if (wanted === 0) return 0
    const filled = await faulty(
      this.#files.with(kept.path, async (file) => {
        let sum = 0
        while (sum < wanted) {
          const { bytesRead } = await file.read(into, sum, wanted - sum, offset + sum)
          if (bytesRead === 0) break
          sum += bytesRead
        }
        return sum
      }),
    )
    if (filled < wanted) throw new CacheFault(`${kept.path} is cut short`)
    return filled
  }

  #makeRoom(): void {
    for (const [key] of this.#kept) {
      if (this.#heldBytes <= this.#bytesMax) return
      this.drop(key)
    }
  }

  /** False when the disk is nearly full although nothing is kept any more. */
  async #leaveRoom(): Promise<boolean> {
    let missing = freeBytesMin - (await this.#freeBytes())
    for (const [key, { heldBytes }] of this.#kept) {
      if (missing <= 0) break
      missing -= heldBytes
      this.drop(key)
    }
    return missing <= 0
  }

  /** All of it is there: it gets the name that stays, once its bytes are durable. */
  #settle(kept: Kept): void {
    const whole = kept.path.slice(0, -partSuffix.length)
    const done = (async () => {
      {
        await using file = await open(kept.path, 'r+')
        await file.sync()
      }
      await link(kept.path, whole)
      if (kept.isDropped) await rm(whole, { force: true })
    })()
      .catch(() => undefined) // then it goes with the next start
      .finally(() => this.#settling.delete(done))
    this.#settling.add(done)
  }

  #remove(kept: Kept): void {
    const { path } = kept
    const whole = path.endsWith(partSuffix) ? path.slice(0, -partSuffix.length) : path
    const done = (async () => {
      await this.#files.drop(path)
      await rm(path, { force: true })
      await rm(whole, { force: true })
    })()
      .catch(() => undefined) // the next start looks at what is there
      .finally(() => this.#settling.delete(done))
    this.#settling.add(done)
  }
}

async function freeBytesAt(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

async function faulty<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    throw new CacheFault('the cache cannot be used', { cause: error })
  }
}
