import type { Clock } from '../../base/clock.ts'
import type { Epoch } from '../leases.ts'
import {
  entryBytes,
  fenceBytes,
  headerBytes,
  packBytesTarget,
  packChunksMax,
  trailerBytes,
} from '../packs/format.ts'
import type {
  Marks,
  Moved,
  PackCollection,
  ReplacedPacks,
  SealedPack,
} from '../packs/pack-collection.ts'
import { type ChunkBits, countBits, haveCommonBits, newChunkBits } from '../packs/recent-puts.ts'
import type { Pace } from './pace.ts'

/** A pack of which less than this part is needed is copied into another one. */
const sparseBelow = 0.5
/** Packs smaller than this are joined, whatever of them is needed … */
const smallBytesMax: number = packBytesTarget / 8
/** … once there are so many of them. */
const smallCountMin = 8
/** Packs without anything that is needed that go in one transaction. */
const dropCountMax = 64
/** Packs that become one: their rows go in one transaction, and everybody waits meanwhile. */
const groupCountMax = 1024
/** Packs off the list that are forgotten in one transaction. */
const deleteCountMax = 256

/** What a sweep did, or would do. */
export interface SweepTally {
  packsDeleted: number
  packsRepacked: number
  /** Sum of the sizes of the packs above. */
  bytesDeleted: number
  /** Sum of the sizes of the packs that took their place. */
  bytesWritten: number
  packsWritten: number
  /** Packs of which no root keeps anything, but that were written too lately for a lease. */
  packsLeased: number
  bytesLeased: number
  /** Packs that should have gone: they are held, or not all could be copied that is needed of them. */
  packsLeft: number
}

export function newTally(): SweepTally {
  return {
    packsDeleted: 0,
    packsRepacked: 0,
    bytesDeleted: 0,
    bytesWritten: 0,
    packsWritten: 0,
    packsLeased: 0,
    bytesLeased: 0,
    packsLeft: 0,
  }
}

interface Source {
  readonly pack: SealedPack
  /** What its needed chunks take in another pack, with their entries in its index. */
  readonly neededBytes: number
  readonly neededCount: number
  /** It holds damaged copies of which nothing is needed, since there are others: it shall go. */
  readonly isDamaged: boolean
}

interface Retired {
  readonly name: string
  readonly atMs: number
}

export interface SweeperPorts {
  readonly packs: PackCollection
  readonly clock: Clock
  readonly pace: Pace
  /** Reads that run when a pack goes have this long before its object is deleted. */
  readonly graceMs: number
}

/** Deletes packs of which nothing is needed, and gathers what is needed of sparse and small ones. */
export class Sweeper {
  readonly tally: SweepTally = newTally()
  readonly #ports: SweeperPorts
  readonly #marks: Marks
  readonly #keptFrom: Epoch
  readonly #isRehearsal: boolean
  readonly #onMoved: (moved: Moved) => void
  /** Off the list, and still to be deleted; oldest first. */
  readonly #retired: Retired[] = []

  constructor(
    ports: SweeperPorts,
    sweep: { readonly marks: Marks; readonly keptFrom: Epoch; readonly isRehearsal: boolean },
    onMoved: (moved: Moved) => void = () => undefined,
  ) {
    this.#ports = ports
    this.#marks = sweep.marks
    this.#keptFrom = sweep.keptFrom
    this.#isRehearsal = sweep.isRehearsal
    this.#onMoved = onMoved
  }

  /** @param packs that were there before the marks began. */
  async sweep(packs: readonly SealedPack[], onPack: () => void): Promise<void> {
    const empty: SealedPack[] = []
    const sparse: Source[] = []
    const small: Source[] = []
    for (const pack of packs) {
      onPack()
      await this.#ports.pace.keep()
      const needed = this.#needed(pack)
      const count = countBits(needed)
      if (this.#ports.packs.wasSealedSince(pack, this.#keptFrom)) this.#countLeased(pack, count)
      else if (count === 0) {
        empty.push(pack)
        if (empty.length >= dropCountMax) await this.#drop(empty.splice(0))
      } else if (!this.#needsDamaged(pack, needed)) {
        const source = await this.#sourceOf(pack, needed, count)
        if (isSparse(source)) sparse.push(source)
        else if (pack.sizeBytes < smallBytesMax) small.push(source)
      }
    }
    await this.#drop(empty)
    for (const group of groupsOf([...sparse, ...worthJoining(small)])) await this.#repack(group)
  }

  /** Joins small packs, all that is in them. */
  async join(packs: readonly SealedPack[]): Promise<void> {
    const isSmall = (pack: SealedPack): boolean =>
      pack.sizeBytes < smallBytesMax && this.#ports.packs.damageOf(pack) === undefined
    const sources = packs.filter(isSmall).map(wholeOf)
    for (const group of groupsOf(sources)) {
      await this.#repack(group, (pack) => allBits(pack))
    }
  }

  /** Deletes the objects of all packs that are off the list; `atOnce` without any grace. */
  async finish({ atOnce }: { readonly atOnce: boolean }): Promise<void> {
    const { clock, graceMs, packs, pace } = this.#ports
    for (let [next] = this.#retired; next !== undefined; [next] = this.#retired) {
      const waitMs = next.atMs + graceMs - clock.monotonicMs()
      if (waitMs > 0 && !atOnce) await pace.rest(waitMs)
      const { atMs } = next
      const due = this.#retired.slice(0, deleteCountMax).filter((other) => other.atMs === atMs)
      await packs.delete(due.map(({ name }) => name))
      this.#retired.splice(0, due.length)
    }
  }

  #needed(pack: SealedPack): ChunkBits {
    return this.#ports.packs.neededOf(pack, this.#marks, this.#keptFrom)
  }

  #countLeased(pack: SealedPack, neededCount: number): void {
    if (neededCount > 0) return
    this.tally.packsLeased += 1
    this.tally.bytesLeased += pack.sizeBytes
  }

  async #sourceOf(pack: SealedPack, needed: ChunkBits, neededCount: number): Promise<Source> {
    if (neededCount === pack.chunkCount) return wholeOf(pack)
    let neededBytes = 0
    for (const { storedBytes } of await this.#ports.packs.chunksOf(pack, needed)) {
      neededBytes += storedBytes + entryBytes
    }
    const isDamaged = this.#ports.packs.damageOf(pack) !== undefined
    return { pack, neededBytes, neededCount, isDamaged }
  }

  /** Then it cannot be copied, and is left to whoever can put it back. */
  #needsDamaged(pack: SealedPack, needed: ChunkBits): boolean {
    const damaged = this.#ports.packs.damageOf(pack)
    return damaged !== undefined && haveCommonBits(damaged, needed)
  }

  async #drop(candidates: readonly SealedPack[]): Promise<void> {
    // Looked at again, in one go with their retirement: a put may have found something in one.
    const packs = candidates.filter((pack) => countBits(this.#needed(pack)) === 0)
    if (packs.length === 0) return
    if (this.#ports.packs.areHeld && !this.#isRehearsal) {
      this.tally.packsLeft += packs.length
      return
    }
    if (!this.#isRehearsal) this.#note(await this.#ports.packs.drop(packs))
    this.tally.packsDeleted += packs.length
    for (const { sizeBytes } of packs) this.tally.bytesDeleted += sizeBytes
  }

  /** What cannot be copied keeps no other pack from going. */
  async #repack(
    group: readonly Source[],
    needed = (pack: SealedPack): ChunkBits => this.#needed(pack),
  ): Promise<void> {
    for (let sources = group; isWorthCopying(sources);) {
      const left = await this.#repackAll(sources, needed)
      if (left === undefined) return
      sources = sources.filter(({ pack }) => pack !== left)
    }
  }

  /** Returns one that could not be copied; then nothing has changed. */
  async #repackAll(
    group: readonly Source[],
    needed: (pack: SealedPack) => ChunkBits,
  ): Promise<SealedPack | undefined> {
    // So that old and new packs together never take the room of more than one group.
    await this.finish({ atOnce: false })
    this.#ports.pace.check()
    const packs = group.map(({ pack }) => pack)
    const sizes = packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    let addedBytes = sizeOfPack(group)
    if (!this.#isRehearsal) {
      const replaced = await this.#ports.packs.repack(packs, needed)
      if (replaced === undefined) {
        this.tally.packsLeft += packs.length
        return undefined
      }
      if ('left' in replaced) {
        this.tally.packsLeft += 1
        return replaced.left
      }
      this.#note(replaced)
      ;({ addedBytes } = replaced)
    }
    this.tally.packsRepacked += packs.length
    this.tally.bytesDeleted += sizes
    this.tally.bytesWritten += addedBytes
    this.tally.packsWritten += 1
    return undefined
  }

  #note(replaced: ReplacedPacks): void {
    this.#onMoved(replaced)
    const { names } = replaced
    const atMs = this.#ports.clock.monotonicMs()
    for (const name of names) this.#retired.push({ name, atMs })
  }
}

/**
 * Small packs, but for those that are larger than all others together: copied now, they would be
 * copied again and again as small ones come. So each byte is copied a few times in all.
 */
function worthJoining(small: readonly Source[]): readonly Source[] {
  const sorted = small.toSorted((left, right) => left.neededBytes - right.neededBytes)
  let othersBytes = sorted.reduce((sum, { neededBytes }) => sum + neededBytes, 0)
  for (let largest = sorted.at(-1); largest !== undefined; largest = sorted.at(-1)) {
    othersBytes -= largest.neededBytes
    if (largest.neededBytes <= othersBytes) break
    sorted.pop()
  }
  return sorted.length >= smallCountMin ? sorted : []
}

/** What a pack takes besides chunks and their entries. */
function frameBytes(chunkCount: number): number {
  return headerBytes + fenceBytes(chunkCount) + trailerBytes
}

function wholeOf(pack: SealedPack): Source {
  const { sizeBytes, chunkCount } = pack
  return {
    pack,
    neededBytes: sizeBytes - frameBytes(chunkCount),
    neededCount: chunkCount,
    isDamaged: false,
  }
}

function isSparse({ pack, neededBytes, neededCount, isDamaged }: Source): boolean {
  if (isDamaged) return true
  return neededCount < pack.chunkCount && neededBytes < pack.sizeBytes * sparseBelow
}

/** The size of the pack that a group becomes, if no chunk is in two of its packs. */
function sizeOfPack(group: readonly Source[]): number {
  const count = group.reduce((sum, { neededCount }) => sum + neededCount, 0)
  return group.reduce((sum, { neededBytes }) => sum + neededBytes, frameBytes(count))
}

function allBits(pack: SealedPack): ChunkBits {
  return newChunkBits(pack.chunkCount).fill(0xff)
}

/** Packs whose needed chunks fit into one pack. */
function* groupsOf(sources: readonly Source[]): Generator<readonly Source[]> {
  let group: Source[] = []
  let bytes = 0
  let count = 0
  for (const source of sources) {
    const fits =
      group.length < groupCountMax &&
      bytes + source.neededBytes <= packBytesTarget &&
      count + source.neededCount <= packChunksMax
    if (!fits && group.length > 0) {
      yield group
      group = []
      bytes = 0
      count = 0
    }
    group.push(source)
    bytes += source.neededBytes
    count += source.neededCount
  }
  yield group
}

/** One that is small and needed as it is gains nothing. */
function isWorthCopying(group: readonly Source[]): boolean {
  const [only] = group
  return group.length > 1 || (only !== undefined && isSparse(only))
}
