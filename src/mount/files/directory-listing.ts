import type { Clock } from '../../base/clock.ts'
import { asError } from '../errors.ts'

/** A name in a directory, with what the file system knows of it. */
export interface ListedEntry<Facts> {
  readonly name: string
  readonly facts: Facts
}

/** What is fetched before it is asked for. */
const aheadEntriesMax = 20_000
/** A list that nobody reads on is broken off, since it holds what others need to go on. */
const idleMsMax = 2000

export type OpenList<Facts> = (signal: AbortSignal) => AsyncIterable<ListedEntry<Facts>>

/** Reads a directory in order, by offsets that count entries; going back begins again. */
export class DirectoryListing<Facts> {
  readonly #open: OpenList<Facts>
  readonly #clock: Clock
  /** From `#first` on. */
  #entries: ListedEntry<Facts>[] = []
  #first = 0
  /** Entries that have come, with those that were read. */
  #cameCount = 0
  #source: Source | undefined
  #isWhole = false
  #failure: Error | undefined
  #changed = Promise.withResolvers<void>()

  constructor(open: OpenList<Facts>, clock: Clock) {
    this.#open = open
    this.#clock = clock
  }

  /** The entry at `index`; undefined behind the last. */
  async at(index: number): Promise<ListedEntry<Facts> | undefined> {
    if (index < this.#first) this.#restart()
    for (;;) {
      const entry = this.#entries[index - this.#first]
      if (entry !== undefined) return entry
      if (this.#failure !== undefined) {
        const failure = this.#failure
        this.#restart()
        throw failure
      }
      if (this.#isWhole) return undefined
      this.readTo(index)
      this.#source ??= this.#start()
      await this.#changed.promise
    }
  }

  /** Entries before `index` will not be asked for again, unless reading begins again. */
  readTo(index: number): void {
    const count = Math.min(index - this.#first, this.#entries.length)
    // Rarely, since it moves all that stays.
    if (count < aheadEntriesMax / 4 && index < this.#cameCount) return
    this.#entries.splice(0, count)
    this.#first += count
    this.#settle()
  }

  close(): void {
    this.#source?.cancel.abort()
    this.#source = undefined
  }

  #restart(): void {
    this.close()
    this.#entries = []
    this.#first = 0
    this.#cameCount = 0
    this.#isWhole = false
    this.#failure = undefined
  }

  #start(): Source {
    const source = { cancel: new AbortController() }
    void this.#fill(source)
    return source
  }

  async #fill(source: Source): Promise<void> {
    let skipCount = this.#cameCount
    try {
      for await (const entry of this.#open(source.cancel.signal)) {
        if (this.#source !== source) return
        if (skipCount > 0) {
          skipCount -= 1
          continue
        }
        this.#entries.push(entry)
        this.#cameCount += 1
        this.#settle()
        if (this.#entries.length >= aheadEntriesMax && !(await this.#hasRoom())) {
          if (this.#source === source) this.close()
          return
        }
      }
      if (this.#source === source) this.#isWhole = true
    } catch (error) {
      if (this.#source === source) this.#failure = asError(error)
    }
    this.#settle()
  }

  /** Waits for the reader; false when it does not come. */
  async #hasRoom(): Promise<boolean> {
    const timer = new AbortController()
    const idle = this.#clock.sleep(idleMsMax, timer.signal).then(
      () => false,
      () => true,
    )
    try {
      while (this.#entries.length >= aheadEntriesMax) {
        if (!(await Promise.race([this.#changed.promise.then(() => true), idle]))) return false
      }
      return true
    } finally {
      timer.abort()
    }
  }

  #settle(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}

interface Source {
  readonly cancel: AbortController
}
