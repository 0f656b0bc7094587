import type { CollectionRoot } from './collection-roots.ts'

/**
 * Keeps chunks from being collected while somebody works with them; `docs/formats/packs.md` says why
 * that is enough. Dispose of it when what was put is referred to by a row, or by nothing.
 */
export interface Lease extends Disposable {
  /** Keeps what `root` refers to until the lease ends. */
  hold(root: CollectionRoot): void
  /**
   * Runs `look`, which finds something that is referred to and holds it (what a row names, for
   * instance) before it resolves. A collection waits for it: it must not wait for a user.
   */
  acquire<Result>(look: () => Promise<Result>): Promise<Result>
}

/**
 * Counts the collections that have begun. What was put, or found to be there already, in an epoch
 * is kept while a lease of that epoch or an earlier one lives.
 */
export type Epoch = number

/** What a collection sees of the leases. */
export interface WatchedLeases extends Disposable {
  /** What was put in this epoch or later is kept. */
  readonly keptFrom: Epoch
  /** Its own; what was there before it began is of an earlier one. */
  readonly epoch: Epoch
  /** The next root that was held when the collection began, or since. */
  next(): CollectionRoot | undefined
  /** True: roots that are held from now on are not told. False: there are some to take first. */
  close(): boolean
  /** Resolves when everyone who is looking for something now has found and held it. */
  settled(): Promise<void>
}

interface LiveLease {
  /** Undefined for one that puts nothing. */
  readonly epoch: Epoch | undefined
  /** Whether what was put, and is not durable yet, may be read. */
  readonly usesDrafts: boolean
  readonly roots: CollectionRoot[]
}

/** The leases of this process. */
export class Leases {
  readonly #live = new Set<LiveLease>()
  readonly #looks = new Set<Promise<void>>()
  #epoch: Epoch = 1
  /** Roots that the running collection has to look at; undefined while none runs. */
  #unseen: CollectionRoot[] | undefined
  #watchedFrom: Epoch | undefined
  #generation = 0
  /** What is to be discarded, by the leases that it waits for. */
  readonly #givenUp = new Map<() => void, Set<LiveLease>>()

  /**
   * Grows when something that was put is given up. What is known in memory only, and was put in an
   * earlier generation, is not for leases that begin now.
   */
  get generation(): number {
    return this.#generation
  }

  /**
   * Gives up what was put and cannot be made durable: `discard` is called when every lease has ended
   * that lives now and may use it, which may be at once. No put may find it to be there any more.
   */
  giveUp(discard: () => void): void {
    this.#generation += 1
    const awaited = new Set([...this.#live].filter(({ usesDrafts }) => usesDrafts))
    if (awaited.size === 0) discard()
    else this.#givenUp.set(discard, awaited)
  }

  get epoch(): Epoch {
    return this.#epoch
  }

  /** Nothing that was put before this epoch needs to be remembered. */
  get oldestEpoch(): Epoch {
    let oldest = this.#watchedFrom ?? this.#epoch
    for (const { epoch } of this.#live) oldest = Math.min(oldest, epoch ?? oldest)
    return oldest
  }

  /** For whoever puts chunks: begins before the first put. */
  begin(): Lease {
    return this.#begin({ epoch: this.#epoch, usesDrafts: true })
  }

  /** For whoever only reads: keeps what it holds, and nothing that is put. */
  beginReading(): Lease {
    return this.#begin({ epoch: undefined, usesDrafts: true })
  }

  /** As `beginReading`, for hours: of nothing but what is durable. */
  beginReadingDurable(): Lease {
    return this.#begin({ epoch: undefined, usesDrafts: false })
  }

  /** Begins an epoch. One collection runs at a time; it disposes of what is returned. */
  watch(): WatchedLeases {
    this.#epoch += 1
    const keptFrom = this.oldestEpoch
    const unseen = [...this.#live].flatMap(({ roots }) => roots)
    this.#unseen = unseen
    this.#watchedFrom = keptFrom
    return {
      keptFrom,
      epoch: this.#epoch,
      next: () => unseen.pop(),
      close: () => {
        if (unseen.length > 0) return false
        this.#unseen = undefined
        return true
      },
      settled: async () => {
        await Promise.all(this.#looks)
      },
      [Symbol.dispose]: () => {
        this.#unseen = undefined
        this.#watchedFrom = undefined
      },
    }
  }

  #begin(uses: Omit<LiveLease, 'roots'>): Lease {
    const lease: LiveLease = { ...uses, roots: [] }
    this.#live.add(lease)
    return {
      hold: (root) => {
        lease.roots.push(root)
        this.#unseen?.push(root)
      },
      acquire: (look) => this.#acquire(look),
      [Symbol.dispose]: () => {
        this.#live.delete(lease)
        for (const [discard, awaited] of this.#givenUp) {
          if (!awaited.delete(lease) || awaited.size > 0) continue
          this.#givenUp.delete(discard)
          discard()
        }
      },
    }
  }

  async #acquire<Result>(look: () => Promise<Result>): Promise<Result> {
    const over = Promise.withResolvers<undefined>()
    this.#looks.add(over.promise)
    try {
      return await look()
    } finally {
      this.#looks.delete(over.promise)
      over.resolve(undefined)
    }
  }
}
