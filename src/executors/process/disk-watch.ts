import { statfsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'

import { type Clock, waitAtMost } from '../../base/clock.ts'
import { exactSizeText, sizeText } from '../../base/sizes.ts'
import { SlotBoundError } from '../../pipelines/executor.ts'
import { type DiskSums, DuSums } from './disk-sums.ts'
import { RunWatch } from './run-watch.ts'

const tickMsMin = 100
const tickMsMax = 1000
/** What the disk had so long ago is what it has, for a datum that begins. */
const freshMs = 10
/** No disk takes more than this. */
const bytesPerMsMax = 4 * 1024 * 1024
/** Looking at what a datum has may take this part of the time. */
const measuringPart = 0.1
/** The same while the disk is full, and nobody can write until it is known who is to end. */
const measuringPartWhenFull = 0.5
/** A datum that has less is not why a disk is full. */
const culpritBytesMin = 16 * 1024 * 1024
const measureEveryMs = 10_000
/** Nor does it wait longer than that for another look, should a disk have taken hours. */
const measurePauseMsMax = 10 * 60_000
const measuredAtOnceMax = 4
/** Who has not answered by then is heard when it does; others are watched meanwhile. */
const answerMsMax = 2000
/** Of those who do not answer, which may have had enough of the machine. */
const lateCountMax = 32
const reservedPart = 0.05
const reservedBytesMax = 1024 ** 3
/** No kernel makes more. */
const filesPerMsMax = 100
const culpritFilesMin = 100
const reservedFilesMax = 10_000

export interface DiskBounds {
  /** What a datum may have. */
  readonly datumBytesMax: number
  /** So much is left to the server. */
  readonly reservedBytes: number
}

/** What a disk still takes. */
interface DiskRoom {
  readonly bytes: number
  readonly files: number
  /** So many files are left to the server. */
  readonly reservedFiles: number
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

interface Measured {
  readonly bytes: number
  readonly freeBytes: number
  /** Whether nothing was out of sight. */
  readonly isWhole: boolean
}

interface Watched extends WatchedRun {
  readonly roomAtStart: DiskRoom
  /** What it had, as far as could be seen, and what was free then. */
  measured: Measured | undefined
  /** How many files, if that was of interest. */
  fileCount: number
  /** Somebody looks at what it has, and has not answered. */
  isMeasured: boolean
  /** When it was looked at last, and how long that took. */
  measuredAtMs: number
  measuringMs: number
}

/**
 * Ends datums that write more than they may, and those that fill the disk. It looks a few times a
 * second, and at what a datum has only when so much has become less free that it may be too much,
 * or some time has passed. Where a disk does not answer, the datums on it alone are not watched.
 */
export class DiskWatch extends RunWatch<Watched> {
  readonly #directory: string
  readonly #bounds: DiskBounds
  readonly #sums: DiskSums
  /** Looks that have not been answered. */
  #measuringCount = 0
  #seen: { readonly room: DiskRoom; readonly atMs: number } | undefined

  /** `directory` is on the disk that datums write to. */
  constructor(directory: string, bounds: DiskBounds, clock: Clock, sums: DiskSums = new DuSums()) {
    super(clock, tickMsMin)
    this.#directory = directory
    this.#bounds = bounds
    this.#sums = sums
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    using _ = this.#sums
    await super[Symbol.asyncDispose]()
  }

  /** Watches until what comes is disposed of. */
  watch(run: WatchedRun): Disposable {
    return this.add({
      ...run,
      roomAtStart: this.#freshRoom(),
      measured: undefined,
      fileCount: 0,
      isMeasured: false,
      measuredAtMs: 0,
      measuringMs: 0,
    })
  }

  /** Waits for as long as nothing can happen. */
  protected override async look(): Promise<number> {
    const room = roomOf(this.#directory)
    const { datumBytesMax, reservedBytes } = this.#bounds
    const isFull = room.bytes < reservedBytes
    const due = [...this.runs].filter((run) => this.#isDue(run, room.bytes, isFull))
    await this.#measureAll(due, (run) => this.#measure(run, room.bytes))
    for (const run of this.runs) {
      if (bytesOf(run) > datumBytesMax)
        this.#end(run, `its bound is ${exactSizeText(datumBytesMax)}`)
    }
    if (isFull) this.#endLargest(room.bytes)
    if (room.files < room.reservedFiles) await this.#endMostFiles(room.files)
    const leftBytes = Math.min(room.bytes - reservedBytes, datumBytesMax)
    const waitMs = Math.min(
      leftBytes / bytesPerMsMax,
      (room.files - room.reservedFiles) / filesPerMsMax,
    )
    return Math.min(tickMsMax, Math.max(tickMsMin, waitMs))
  }

  /** Datums that are short begin more often than a disk changes. */
  #freshRoom(): DiskRoom {
    const nowMs = this.clock.monotonicMs()
    if (this.#seen === undefined || nowMs - this.#seen.atMs > freshMs) {
      this.#seen = { room: roomOf(this.#directory), atMs: nowMs }
    }
    return this.#seen.room
  }

  #isDue(run: Watched, freeBytes: number, isFull: boolean): boolean {
    const { measured, measuredAtMs, measuringMs } = run
    const { datumBytesMax } = this.#bounds
    const part = isFull ? measuringPartWhenFull : measuringPart
    const pauseMs = Math.min(measuringMs / part, measurePauseMsMax)
    const lateMs = this.clock.monotonicMs() - measuredAtMs - pauseMs
    if (lateMs < 0) return false
    if (isFull) return true
    if (datumBytesMax === Number.POSITIVE_INFINITY) return false
    // Others may have made room meanwhile.
    if (measured === undefined || lateMs >= measureEveryMs) return true
    return measured.bytes + measured.freeBytes - freeBytes >= datumBytesMax
  }

  /** Those of whom something is known, or was tried to be; the rest will be looked at another time. */
  async #measureAll(
    runs: readonly Watched[],
    measure: (run: Watched) => Promise<void>,
  ): Promise<void> {
    const idle = runs.filter((run) => !run.isMeasured)
    for (let at = 0; at < idle.length; at += measuredAtOnceMax) {
      if (this.isClosing || this.#measuringCount >= lateCountMax) return
      const looks = idle.slice(at, at + measuredAtOnceMax).map(async (run) => {
        run.isMeasured = true
        this.#measuringCount += 1
        try {
          await measure(run)
        } catch {
          // What cannot be looked at now may be the next time.
        } finally {
          run.isMeasured = false
          this.#measuringCount -= 1
        }
      })
      const answered = Promise.all(looks).then(() => {})
      await waitAtMost(this.clock, answerMsMax, answered)
    }
  }

  async #measure(run: Watched, freeBytes: number): Promise<void> {
    const startMs = this.clock.monotonicMs()
    const [{ count, isWhole }, otherBytes = 0] = await Promise.all([
      this.#sums.bytesIn(run.directories),
      // What holds the datum may just be ending; others are looked at all the same.
      run.otherBytes?.().catch(() => 0),
    ])
    run.measured = { bytes: count + otherBytes, freeBytes, isWhole }
    run.measuredAtMs = this.clock.monotonicMs()
    run.measuringMs = run.measuredAtMs - startMs
  }

  /** One at a time: the disk may have room then. */
  #endLargest(freeBytes: number): void {
    const culprits = [...this.runs]
      .filter((run) => run.roomAtStart.bytes - freeBytes > culpritBytesMin)
      .toSorted((left, right) => mostOf(right, freeBytes) - mostOf(left, freeBytes))
    const [largest] = culprits
    const why = `the server's disk has only ${sizeText(freeBytes)} left`
    if (largest === undefined) return
    if (mostOf(largest, freeBytes) > culpritBytesMin) this.#end(largest, why)
    // Files that have no name any more are not found, but go when whoever has them open ends.
    else if (freeBytes < this.#bounds.reservedBytes / 2)
      for (const run of culprits) this.#end(run, why)
  }

  /** Of those that run since there were so many more: however small, files may be all that there can be. */
  async #endMostFiles(freeFiles: number): Promise<void> {
    const culprits = [...this.runs].filter(
      (run) => run.roomAtStart.files - freeFiles > culpritFilesMin,
    )
    await this.#measureAll(culprits, async (run) => {
      const { count } = await this.#sums.filesIn(run.directories)
      run.fileCount = count
    })
    const [most] = culprits.toSorted((left, right) => right.fileCount - left.fileCount)
    if (most === undefined || most.fileCount <= culpritFilesMin) return
    this.#endWith(
      most,
      `${most.fileCount} files`,
      `the file system of the server's disk can hold only ${freeFiles} more, however small`,
    )
  }

  #end(run: Watched, why: string): void {
    const unseen = run.measured?.isWhole === false ? ' and more where it let nobody look' : ''
    this.#endWith(run, `${sizeText(bytesOf(run))} on disk${unseen}`, why)
  }

  #endWith(run: Watched, what: string, why: string): void {
    if (!this.runs.delete(run)) return
    run.end(
      new SlotBoundError(
        `user code was ended: it had ${what}, in /pfs/out and temporary files, and ${why}`,
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

/** With what it has out of sight: that may be all that has become less free since it began. */
function mostOf(run: Watched, freeBytes: number): number {
  if (run.measured?.isWhole !== false) return bytesOf(run)
  return Math.max(bytesOf(run), run.roomAtStart.bytes - freeBytes)
}

function roomOf(directory: string): DiskRoom {
  const { bavail, bsize, files, ffree } = statfsSync(directory)
  const bytes = bavail * bsize
  // Some file systems have no table of files that could be full.
  if (files === 0) return { bytes, files: Number.POSITIVE_INFINITY, reservedFiles: 0 }
  return { bytes, files: ffree, reservedFiles: Math.min(reservedFilesMax, files * reservedPart) }
}
