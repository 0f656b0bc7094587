import { createHash } from 'node:crypto'
import type { CheckRun } from '../../base/check-run.ts'
import { chunkBytesMax } from '../chunks.ts'
import { uint32At, type IndexedChunk } from '../packs/format.ts'
import { CutFinder } from '../splitter/cut-finder.ts'
import { Splitter } from '../splitter/splitter.ts'
import { findFrame } from './zstd-frames.ts'

/** Places that turn out to be no chunks; then no more are looked for. */
const failuresMax = 1024
/** What is split, or hashed, in one go. */
const pieceBytes = 64 * 1024
/** Ends that are tried in one pack: each takes a microsecond. */
const endsMax: number = 16 * 1024 * 1024
/**
 * Ends that are tried for one chunk, times the chunks that are wanted: so it is rare that a hash begins
 * as the one of another chunk does.
 */
const guessesMax: number = 32 * 1024 * 1024

/** What no chunk that has been found takes. */
export interface Gap {
  readonly start: number
  readonly end: number
}

export interface SearchedPack {
  /** Undefined when the disk does not give them, or there are fewer. */
  read(offset: number, length: number): Promise<Uint8Array | undefined>
  gaps(): readonly Gap[]
  /** Of chunks that have not been found. */
  readonly wantedCount: number
  /** Whether one that has not been found has an id that begins with these four bytes. */
  isWanted(begins: number): boolean
  /** The chunk that is wanted, if it is in a place; then it is found. */
  chunkIn(place: Omit<IndexedChunk, 'id'>): Promise<IndexedChunk | undefined>
}

/**
 * Chunks lie one behind the other: what no entry tells may be what is between others. Compressed ones
 * say themselves how long they are; of parts of long files their bytes say where they are cut; and for
 * what is left, each end is tried.
 */
export class GapSearch {
  readonly #pack: SearchedPack
  readonly #run: CheckRun
  readonly #finder = new CutFinder()
  #failures = 0
  #ends = 0

  constructor(pack: SearchedPack, run: CheckRun) {
    this.#pack = pack
    this.#run = run
  }

  async fill(): Promise<void> {
    const steps = [
      (gap: Gap) => this.#fillByFrames(gap),
      (gap: Gap) => this.#fillByCuts(gap),
      // Which takes long, and is worth it only for whoever repairs.
      ...(this.#run.options.fix ? [(gap: Gap) => this.#fillByEnds(gap)] : []),
    ]
    for (const step of steps) {
      for (const gap of this.#pack.gaps()) {
        if (this.#pack.wantedCount === 0 || this.#failures >= failuresMax) return
        await step(gap)
      }
    }
  }

  async #fillByFrames({ start, end }: Gap): Promise<void> {
    let rawStart = start
    for (let at = start; at < end && this.#failures < failuresMax;) {
      this.#run.throwIfCancelled()
      const frame = await findFrame((from, length) => this.#pack.read(from, length), at, end)
      if (frame === undefined) break
      const { offset, storedBytes, rawBytes = chunkBytesMax } = frame
      const place = { offset, storedBytes, rawBytes, encoding: 'zstd' } as const
      if ((await this.#pack.chunkIn(place)) === undefined) {
        this.#failures += 1
        at = offset + 1
      } else {
        await this.#tryRaw(rawStart, offset)
        at = offset + storedBytes
        rawStart = at
      }
    }
    await this.#tryRaw(rawStart, end)
  }

  /** Where one is damaged, the next may begin all the same: a cut follows from the bytes before it. */
  async #fillByCuts({ start, end }: Gap): Promise<void> {
    for (let at = start; at < end && this.#failures < failuresMax;) {
      const cut = (await this.#cutAfter(at, end)) ?? end
      await this.#tryRaw(at, cut)
      at = cut
    }
  }

  async #cutAfter(start: number, end: number): Promise<number | undefined> {
    const splitter = new Splitter(this.#finder)
    for (let at = start; at < end;) {
      this.#run.throwIfCancelled()
      const piece = await this.#pack.read(at, Math.min(pieceBytes, end - at))
      if (piece === undefined) return undefined
      at += splitter.push(piece)
      if (splitter.isWhole) return at
    }
    return undefined
  }

  async #fillByEnds({ start, end }: Gap): Promise<void> {
    if (await this.#tryRaw(start, end)) return
    for (let at = start; at < end;) {
      const next = (await this.#endAfter(at, end)) ?? end
      if (!(await this.#tryRaw(at, next))) return
      at = next
    }
  }

  /** The first end at which the bytes from `start` on have a hash that is wanted. */
  async #endAfter(start: number, gapEnd: number): Promise<number | undefined> {
    const { wantedCount } = this.#pack
    const bytesMax = Math.min(chunkBytesMax, Math.floor(guessesMax / Math.max(1, wantedCount)))
    const end = Math.min(gapEnd, start + bytesMax, start + endsMax - this.#ends)
    const hash = createHash('sha256')
    for (let at = start; at < end; at += pieceBytes) {
      this.#run.throwIfCancelled()
      const piece = await this.#pack.read(at, Math.min(pieceBytes, end - at))
      if (piece === undefined) return undefined
      for (let index = 0; index < piece.length; index += 1) {
        this.#ends += 1
        hash.update(piece.subarray(index, index + 1))
        if (this.#pack.isWanted(uint32At(hash.copy().digest(), 0))) return at + index + 1
      }
    }
    return undefined
  }

  async #tryRaw(offset: number, end: number): Promise<boolean> {
    const storedBytes = end - offset
    if (storedBytes === 0) return false
    const place = { offset, storedBytes, rawBytes: storedBytes, encoding: 'raw' } as const
    if ((await this.#pack.chunkIn(place)) !== undefined) return true
    this.#failures += 1
    return false
  }
}
