import type { Clock } from '../../base/clock.ts'
import { SlotBoundError } from '../../pipelines/executor.ts'
import { RunWatch } from './run-watch.ts'

const lookMs = 500
const refusedMsMaxDefault = 5000
/** A shell waits for so long at most before it tries again; whoever waits longer has come to terms. */
const quietMsMax = 16_000

/** What the kernel counts of the processes and threads of a datum. */
export interface ProcessCounts {
  /** How often one was not started, since whenever. */
  readonly refusedCount: number
  /** Whether there are as many as there may be. */
  readonly isAtBound: boolean
}

/** What holds the processes of a datum. */
export interface CountedProcesses {
  /** Of processes and threads at one time. */
  readonly processCountMax: number
  processCounts(): ProcessCounts
  /** Whether another process has taken hold of the one that runs user code, where it could. */
  isRunnerTraced?(): boolean
}

interface Watched {
  readonly counted: CountedProcesses
  readonly end: (reason: SlotBoundError) => void
  refusedCount: number | undefined
  /** Looks with new refusals, less those that found it below its bound again. */
  refusedLooks: number
  refusedAtMs: number
}

/**
 * Ends datums that take hold of the process that runs them, which would answer no more, and those
 * that stay at their bound of processes, where some programs try again for ever. One
 * that comes up against it and goes on with what it has is left alone. A datum that is short is
 * never looked at.
 */
export class ProcessWatch extends RunWatch<Watched> {
  readonly #refusedMsMax: number

  /** Looks that find new refusals for so long together end a datum. */
  constructor(clock: Clock, refusedMsMax: number = refusedMsMaxDefault) {
    super(clock, lookMs)
    this.#refusedMsMax = refusedMsMax
  }

  /** Watches until what comes is disposed of; `end` ends the datum. */
  watch(counted: CountedProcesses, end: (reason: SlotBoundError) => void): Disposable {
    return this.add({ counted, end, refusedCount: undefined, refusedLooks: 0, refusedAtMs: 0 })
  }

  protected override look(): number {
    for (const run of this.runs) this.#lookAt(run)
    return lookMs
  }

  #lookAt(run: Watched): void {
    if (run.counted.isRunnerTraced?.() === true && this.runs.delete(run)) {
      run.end(new SlotBoundError('user code was ended: it took hold of the process that runs it'))
      return
    }
    const counts = countsNow(run)
    if (counts === undefined) return
    const { refusedCount, isAtBound } = counts
    const nowMs = this.clock.monotonicMs()
    // What was counted before its first look may be an earlier datum's.
    const wasRefused = refusedCount > (run.refusedCount ?? refusedCount)
    run.refusedCount = refusedCount
    if (wasRefused) {
      run.refusedLooks += 1
      run.refusedAtMs = nowMs
    } else if (nowMs - run.refusedAtMs > quietMsMax) run.refusedLooks = 0
    else if (!isAtBound) run.refusedLooks = Math.max(0, run.refusedLooks - 1)
    const refusedMs = run.refusedLooks * lookMs
    if (refusedMs < this.#refusedMsMax || !this.runs.delete(run)) return
    run.end(
      new SlotBoundError(
        `user code was ended: ${processBoundText(run.counted.processCountMax)}, and tried for ${refusedMs / 1000} s to start more`,
      ),
    )
  }
}

/** Undefined where the kernel does not say: what is watched may just be ending. */
function countsNow({ counted }: Watched): ProcessCounts | undefined {
  try {
    return counted.processCounts()
  } catch {
    return undefined
  }
}

/** Why user code may have failed, in words for people. */
export function processBoundText(processCountMax: number): string {
  return `it came up against its bound of ${processCountMax} processes and threads`
}
