import type { Clock } from '../base/clock.ts'
import { DataLossError, FailedPreconditionError } from '../base/errors.ts'
import type { PackStore } from './chunk-store.ts'
import type { CollectionRun, CollectionSource, RemovedRows } from './collection-roots.ts'
import type { MarkSet } from './collecting/marks.ts'
import { Marker } from './collecting/marker.ts'
import { Pace } from './collecting/pace.ts'
import { Sweeper, type SweepTally } from './collecting/sweeper.ts'
import type { WatchedLeases } from './leases.ts'
import type { SealedPack } from './packs/pack-collection.ts'

/** How far a collection is. */
export interface CollectionProgress {
  readonly phase: 'marking' | 'sweeping'
  readonly chunksMarked: number
  /** Looked at, of those that there are; 0 while marking. */
  readonly packsDone: number
  readonly packsTotal: number
}

/** What a collection did; a rehearsal: what it would have done. */
export interface CollectionReport extends Readonly<SweepTally> {
  readonly isRehearsal: boolean
  readonly chunksMarked: number
  /** Those of them that the collection before had marked, and that were not looked at again. */
  readonly chunksRemembered: number
  /** References to chunks that no pack holds: data that is lost already. */
  readonly chunksMissing: number
  readonly packsBefore: number
  readonly bytesBefore: number
  readonly packsAfter: number
  readonly bytesAfter: number
  readonly removed: RemovedRows
  readonly tookMs: number
}

/** What was joined. */
export interface Compaction {
  readonly packsJoined: number
  readonly bytesJoined: number
  readonly packsWritten: number
  readonly bytesWritten: number
  /** All that there are now. */
  readonly packs: number
}

export interface CollectOptions {
  readonly signal: AbortSignal
  /** Finds out what would be freed, and changes nothing. */
  readonly isRehearsal?: boolean
  /** As in `CollectionRun`. */
  readonly isStrict?: boolean
  /**
   * As in `CollectionRun`, if the marks of the last collection can still be relied on. For whoever
   * knows that nothing of weight was let go since: it frees what was put and never needed.
   */
  readonly isIncremental?: boolean
  readonly onProgress?: (progress: CollectionProgress) => void
}

/** Then a collection begins from scratch again: what was let go, and that nobody noted, goes. */
const incrementalCountMax = 8

/** What one collection leaves to the next. */
interface Remembered {
  readonly marks: MarkSet
  /** Collections since the one that began from scratch. */
  readonly runCount: number
}

/** Another collection is at work. */
export class CollectionRunningError extends FailedPreconditionError {
  override readonly name = 'CollectionRunningError'

  constructor(sinceMs: number) {
    const seconds = Math.round(sinceMs / 1000)
    super(
      `a garbage collection has been running for ${seconds} s, and one runs at a time: try again when it has ended`,
    )
  }
}

export interface CollectorPorts {
  readonly store: PackStore
  /** Every layer that refers to chunks, in the order in which they are asked. */
  readonly sources: readonly CollectionSource[]
  readonly clock: Clock
  /** Reads that run when a pack goes have this long before its object is deleted. */
  readonly graceMs: number
}

/**
 * Frees what nothing refers to, beside all other work. Marks what is needed, then deletes packs of
 * which nothing is, and copies what is needed of sparse ones. Why nothing is lost: see
 * `docs/formats/packs.md`. Cancelled or killed at any step, it leaves what the next one frees.
 */
export class Collector {
  readonly #ports: CollectorPorts
  /** In memory only: after a restart everything is looked at. */
  #remembered: Remembered | undefined
  #running: { readonly sinceMs: number; readonly over: PromiseWithResolvers<undefined> } | undefined

  constructor(ports: CollectorPorts) {
    this.#ports = ports
  }

  /** Resolves when no collection runs. Another one may begin before the caller does. */
  async whenIdle(): Promise<void> {
    while (this.#running !== undefined) await this.#running.over.promise
  }

  /** The size of all packs that are listed. */
  get sizeBytes(): number {
    return sumOf(this.#ports.store.packs.all())
  }

  /** How often a damaged chunk was stored afresh since the start: the damaged copies can go. */
  get damageReplacedCount(): number {
    return this.#ports.store.packs.replacedCount
  }

  /**
   * @throws {CollectionRunningError}
   * @throws {CancelledError}
   * @throws {DataLossError} when something that is needed cannot be read; nothing is deleted then.
   */
  async collect(options: CollectOptions): Promise<CollectionReport> {
    using _ = this.#begin()
    const startMs = this.#ports.clock.monotonicMs()
    const report = await this.#run(options)
    if (!report.isRehearsal) await this.#ports.store.packs.noteCollected(report.bytesAfter)
    return { ...report, tookMs: this.#ports.clock.monotonicMs() - startMs }
  }

  /** The size of all packs after the last collection, whenever that was; 0 when there was none. */
  async sizeBytesAfterLast(): Promise<number> {
    return await this.#ports.store.packs.sizeBytesCollected()
  }

  async #run(options: CollectOptions): Promise<Omit<CollectionReport, 'tookMs'>> {
    const mayRemember = options.isRehearsal !== true
    const before = mayRemember ? this.#remembered : undefined
    // What ends in the middle has marked some of what it met, and not all that is below.
    if (mayRemember) this.#remembered = undefined
    const isWanted = options.isIncremental === true && options.isStrict !== true
    const run = new Run(this.#ports, options, isWanted ? before : undefined)
    const report = await run.toEnd()
    if (mayRemember) this.#remembered = run.remembered
    return report
  }

  /** Joins small packs, when no collection runs; frees nothing else. */
  async compact(signal: AbortSignal): Promise<Compaction> {
    while (this.#running !== undefined) await this.#running.over.promise
    using _ = this.#begin()
    const { clock, graceMs, store } = this.#ports
    await store.flush()
    this.#remembered = undefined // chunks are about to have other places
    const pace = new Pace(clock, signal, () => undefined)
    const kept = { marks: new Map(), keptFrom: store.leases.epoch, isRehearsal: false }
    const sweeper = new Sweeper({ packs: store.packs, clock, graceMs, pace }, kept)
    try {
      await sweeper.join(store.packs.all())
    } finally {
      await sweeper.finish({ atOnce: true })
    }
    const { packsRepacked, packsWritten, bytesDeleted, bytesWritten } = sweeper.tally
    return {
      packsJoined: packsRepacked,
      bytesJoined: bytesDeleted,
      packsWritten,
      bytesWritten,
      packs: store.packs.all().length,
    }
  }

  #begin(): Disposable {
    const sinceMs = this.#ports.clock.monotonicMs()
    if (this.#running !== undefined) {
      throw new CollectionRunningError(sinceMs - this.#running.sinceMs)
    }
    const over = Promise.withResolvers<undefined>()
    this.#running = { sinceMs, over }
    return {
      [Symbol.dispose]: () => {
        this.#running = undefined
        over.resolve(undefined)
      },
    }
  }
}

/** One collection. */
class Run {
  readonly #ports: CollectorPorts
  readonly #options: CollectOptions
  readonly #pace: Pace
  readonly #before: Remembered | undefined
  #marker: Marker
  #chunksRemembered = 0
  #isSettled = false
  readonly #removed: { -readonly [Key in keyof RemovedRows]: number } = {
    results: 0,
    objects: 0,
    tags: 0,
  }
  /** As sources see it. */
  #run: CollectionRun
  #packs: readonly SealedPack[] = []
  #packsDone = 0

  /** @param before what it may rely on. */
  constructor(ports: CollectorPorts, options: CollectOptions, before?: Remembered) {
    this.#ports = ports
    this.#options = options
    this.#before = before
    this.#pace = new Pace(ports.clock, options.signal, () => this.#tell())
    this.#marker = new Marker(ports.store, ports.store.packs, this.#pace)
    this.#run = this.#runWith(this.#marker, { isIncremental: false })
  }

  #runWith(marker: Marker, { isIncremental }: { readonly isIncremental: boolean }): CollectionRun {
    return {
      isRehearsal: this.#options.isRehearsal ?? false,
      isStrict: this.#options.isStrict ?? false,
      isIncremental,
      inline: marker,
      isMarked: (id) => marker.has(id),
      removed: (what, count) => {
        this.#removed[what] += count
      },
    }
  }

  /** What the next collection may rely on, after `toEnd`. */
  get remembered(): Remembered | undefined {
    if (!this.#isSettled) return undefined
    const runCount = this.#run.isIncremental ? (this.#before?.runCount ?? 0) + 1 : 0
    return { marks: this.#marker.marks, runCount }
  }

  async toEnd(): Promise<Omit<CollectionReport, 'tookMs'>> {
    const { store } = this.#ports
    using leases = store.leases.watch()
    store.packs.pruneRecent()
    const before = store.packs.all()
    await store.flush()
    await this.#remember(before)
    await this.#mark(leases)
    if (this.#options.isRehearsal !== true) this.#marker.requireWhole()
    const tally = await this.#sweep(leases, before)
    for (const source of this.#ports.sources) await source.ended?.(this.#run)
    const bytesBefore = sumOf(before)
    return {
      ...tally,
      ...this.#counts(),
      packsBefore: before.length,
      bytesBefore,
      packsAfter: before.length - tally.packsDeleted - tally.packsRepacked + tally.packsWritten,
      bytesAfter: bytesBefore - tally.bytesDeleted + tally.bytesWritten,
    }
  }

  /**
   * Goes on from the marks of the last collection, if each pack that they are about is there as it
   * was: what is in another pack as well, was marked in one of them.
   */
  async #remember(packs: readonly SealedPack[]): Promise<void> {
    const { store } = this.#ports
    const before = this.#before
    if (before === undefined || before.runCount >= incrementalCountMax) return
    const names = new Set(packs.map(({ name }) => name))
    for (const name of before.marks.kept.keys()) if (!names.has(name)) return
    if (!(await store.packs.areThere(() => this.#pace.keep()))) return
    await this.#leaveDamaged(before.marks, packs)
    this.#marker = new Marker(store, store.packs, this.#pace, before.marks)
    this.#chunksRemembered = this.#marker.chunkCount
    this.#run = this.#runWith(this.#marker, { isIncremental: true })
  }

  /** What was marked in a copy that turned out to be damaged is marked in the one that is read now. */
  async #leaveDamaged(marks: MarkSet, all: readonly SealedPack[]): Promise<void> {
    const { packs } = this.#ports.store
    for (const pack of all) {
      const marked = marks.kept.get(pack.name)
      const damage = marked && packs.damageOf(pack)
      if (damage === undefined) continue
      const both = damage.map((byte, at) => byte & (marked?.[at] ?? 0))
      for (const { id, index } of await packs.chunksOf(pack, both)) {
        await this.#pace.keep()
        const place = await packs.place(id)
        // What is in a draft was put after the collection began, and is spared.
        if (place === undefined || place === 'draft' || place.pack.name === pack.name) continue
        marks.relocate({ pack, index }, place)
      }
    }
  }

  #counts(): Pick<
    CollectionReport,
    'isRehearsal' | 'chunksMarked' | 'chunksRemembered' | 'chunksMissing' | 'removed'
  > {
    return {
      isRehearsal: this.#options.isRehearsal ?? false,
      chunksMarked: this.#marker.chunkCount,
      chunksRemembered: this.#chunksRemembered,
      chunksMissing: this.#marker.missingCount,
      removed: this.#removed,
    }
  }

  /** When it resolves, everything that is needed, or can be from now on, is marked or recent. */
  async #mark(leases: WatchedLeases): Promise<void> {
    const marker = this.#marker
    const run = this.#run
    for (const source of this.#ports.sources) await source.prepare?.(run)
    for (const source of this.#ports.sources) {
      for await (const root of source.collectionRoots(run)) {
        await this.#pace.keep()
        await marker.add(root)
        await this.#markHeld(leases)
      }
      await marker.walk()
    }
    await leases.settled()
    do await this.#markHeld(leases)
    while (!leases.close())
    this.#isSettled = await marker.settle()
  }

  /** Marks what leases hold. */
  async #markHeld(leases: WatchedLeases): Promise<void> {
    for (let root = leases.next(); root !== undefined; root = leases.next()) {
      await this.#pace.keep()
      try {
        await this.#marker.tryToAdd(root)
      } catch (error) {
        // A content is held by whoever reads it, and that one sees for itself.
        if (root.kind !== 'content' || !(error instanceof DataLossError)) throw error
      }
    }
  }

  async #sweep(leases: WatchedLeases, packs: readonly SealedPack[]): Promise<SweepTally> {
    const { clock, graceMs, store } = this.#ports
    const { keptFrom } = leases
    const isRehearsal = this.#options.isRehearsal ?? false
    const sweeper = new Sweeper(
      { packs: store.packs, clock, graceMs, pace: this.#pace },
      { marks: this.#marker.marks.kept, keptFrom, isRehearsal },
      (moved) => this.#marker.marks.move(moved),
    )
    this.#packs = packs
    try {
      await sweeper.sweep(packs, () => {
        this.#packsDone += 1
      })
      await sweeper.finish({ atOnce: false })
    } finally {
      await sweeper.finish({ atOnce: true })
    }
    return sweeper.tally
  }

  #tell(): void {
    this.#options.onProgress?.({
      phase: this.#packs.length > 0 ? 'sweeping' : 'marking',
      chunksMarked: this.#marker.chunkCount,
      packsDone: this.#packsDone,
      packsTotal: this.#packs.length,
    })
  }
}

function sumOf(packs: readonly SealedPack[]): number {
  return packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}
