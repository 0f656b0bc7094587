import type { Clock } from '../../base/clock.ts'
import type { DiskFullError } from '../../base/errors.ts'
import type { Log } from '../log.ts'

/** While the disk stays full, it is told again after so long. */
const againAfterMs = 10 * 60_000

const texts = {
  bytes:
    'the disk is full, and what needs room on it is refused: free some space, or delete what is not needed and run pachctl garbage-collect, or move the data directory to a larger disk',
  files:
    'the file system of the data directory can hold no more files, however small, and what needs one is refused: remove files that nobody needs (df -i shows how many there can be), or move the data directory to a file system that was made for more',
} as const

/** Tells the operator of a full disk, once in a while: callers know of their own calls only. */
export function diskFullReport(
  log: Pick<Log, 'warning'>,
  clock: Pick<Clock, 'monotonicMs'>,
): (error: DiskFullError) => void {
  let toldMs: number | undefined
  let refusedCount = 0
  return ({ directory, cause, lacksFiles }) => {
    refusedCount += 1
    const nowMs = clock.monotonicMs()
    if (toldMs !== undefined && nowMs - toldMs < againAfterMs) return
    toldMs = nowMs
    const reason = cause instanceof Error ? cause.message : undefined
    log.warning(lacksFiles ? texts.files : texts.bytes, {
      directory,
      refused: refusedCount,
      reason,
    })
    refusedCount = 0
  }
}
