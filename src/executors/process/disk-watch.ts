import { execFile } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'

import type { Clock } from '../../base/clock.ts'
import { exactSizeText, sizeText } from '../../base/sizes.ts'
import { SlotBoundError } from '../../pipelines/executor.ts'
import { RunWatch } from './run-watch.ts'

const tickMsMin = 100
const tickMsMax = 1000
/** No disk takes more than this. */
const bytesPerMsMax = 4 * 1024 * 1024
/** Looking at what a datum has may take this part of the time. */
const measuringPart = 0.1
/** A datum that has less is not why a disk is full. */
const culpritBytesMin = 16 * 1024 * 1024
const measureEveryMs = 10_000
const reservedPart = 0.05
const reservedBytesMax = 1024 ** 3

export interface DiskBounds {
  /** What a datum may have. */
  readonly datumBytesMax: number
  /** So much is left to the server. */
  readonly reservedBytes: number
}

/** A datum that runs. */
export interface WatchedRun {
  /** What it may write to. */
  readonly directories: readonly string[]
  /** What it has written elsewhere. */
  readonly otherBytes?: (() => Promise<number>) | undefined
  /** Ends it. */
  readonly end: (reason: SlotBoundError) => void
}

interface Watched extends WatchedRun {
  readonly freeBytesAtStart: number
  /** What it had, and what was free then. */
  measured: { readonly bytes: number; readonly freeBytes: number } | undefined
  measureAgainAtMs: number
}

/**
 * Ends datums that write more than they may, and those that fill the disk. It looks a few times a
 * second, and at what a datum has only when so much has become less free that it may be too much,
 * or some time has passed.
 */
export class DiskWatch extends RunWatch<Watched> {
  readonly #directory: string
  readonly #bounds: DiskBounds

  /** `directory` is on the disk that datums write to. */
  constructor(directory: string, bounds: DiskBounds, clock: Clock) {
    super(clock, tickMsMin)
    this.#directory = directory
    this.#bounds = bounds
  }

  /** Watches until what comes is disposed of. */
  watch(run: WatchedRun): Disposable {
    return this.add({
      ...run,
      freeBytesAtStart: freeBytesOf(this.#directory),
      measured: undefined,
      measureAgainAtMs: 0,
    })
  }

  /** Waits for as long as nothing can happen. */
  protected override async look(): Promise<number> {
    const freeBytes = freeBytesOf(this.#directory)
    const { datumBytesMax, reservedBytes } = this.#bounds
    const isFull = freeBytes < reservedBytes
    for (const run of this.runs) {
      if (this.#isDue(run, freeBytes, isFull)) await this.#measure(run, freeBytes)
      if (bytesOf(run) > datumBytesMax)
        this.#end(run, `its bound is ${exactSizeText(datumBytesMax)}`)
    }
    if (isFull) this.#endLargest(freeBytes)
    const leftBytes = Math.min(freeBytes - reservedBytes, datumBytesMax)
    return Math.min(tickMsMax, Math.max(tickMsMin, leftBytes / bytesPerMsMax))
  }

  #isDue({ measured, measureAgainAtMs }: Watched, freeBytes: number, isFull: boolean): boolean {
    const { datumBytesMax } = this.#bounds
    const lateMs = this.clock.monotonicMs() - measureAgainAtMs
    if (lateMs < 0) return false
    if (isFull) return true
    if (datumBytesMax === Number.POSITIVE_INFINITY) return false
    // Others may have made room meanwhile.
    if (measured === undefined || lateMs >= measureEveryMs) return true
    return measured.bytes + measured.freeBytes - freeBytes >= datumBytesMax
  }

  async #measure(run: Watched, freeBytes: number): Promise<void> {
    const startMs = this.clock.monotonicMs()
    const [bytes, otherBytes = 0] = await Promise.all([
      bytesIn(run.directories),
      // What holds the datum may just be ending; others are looked at all the same.
      run.otherBytes?.().catch(() => 0),
    ])
    run.measured = { bytes: bytes + otherBytes, freeBytes }
    const endMs = this.clock.monotonicMs()
    run.measureAgainAtMs = endMs + (endMs - startMs) / measuringPart
  }

  /** One at a time: the disk may have room then. */
  #endLargest(freeBytes: number): void {
    const culprits = [...this.runs]
      .filter((run) => run.freeBytesAtStart - freeBytes > culpritBytesMin)
      .toSorted((left, right) => bytesOf(right) - bytesOf(left))
    const [largest] = culprits
    const why = `the server's disk has only ${sizeText(freeBytes)} left`
    if (largest === undefined) return
    if (bytesOf(largest) > culpritBytesMin) this.#end(largest, why)
    // Files that have no name any more are not found, but go when whoever has them open ends.
    else if (freeBytes < this.#bounds.reservedBytes / 2)
      for (const run of culprits) this.#end(run, why)
  }

  #end(run: Watched, why: string): void {
    if (!this.runs.delete(run)) return
    run.end(
      new SlotBoundError(
        `user code was ended: it had ${sizeText(bytesOf(run))} on disk, in /pfs/out and ` +
          `temporary files, and ${why}`,
      ),
    )
  }
}

/** What of a disk is left to the server where nobody says. */
export async function reservedPartOf(directory: string): Promise<number> {
  const { blocks, bsize } = await statfs(directory)
  return Math.min(reservedBytesMax, blocks * bsize * reservedPart)
}

function bytesOf({ measured }: Watched): number {
  return measured?.bytes ?? 0
}

function freeBytesOf(directory: string): number {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}

/** As `du` counts it: blocks, each file once, whatever goes meanwhile. */
async function bytesIn(directories: readonly string[]): Promise<number> {
  const text = await new Promise<string>((resolve) => {
    execFile('du', ['-skx', '--', ...directories], (_error, stdout) => resolve(stdout))
  })
  const sizes = [...text.matchAll(/^(\d+)\t/gm)].map(([, digits]) => Number(digits))
  return 1024 * sizes.reduce((sum, size) => sum + size, 0)
}
