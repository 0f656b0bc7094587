import type { DataLossError } from '../../base/errors.ts'
import type { Log } from '../log.ts'

/** Chunks that are remembered as reported; beyond them, one may be reported again. */
const reportedCountMax = 10_000

/** Tells the operator of chunks that are lost or damaged, once each: the caller knows one file only. */
export function dataLossReport(
  log: Pick<Log, 'error'>,
): (chunk: string, error: DataLossError) => void {
  const reported = new Set<string>()
  return (chunk, error) => {
    if (reported.has(chunk)) return
    const [oldest] = reported
    if (oldest !== undefined && reported.size >= reportedCountMax) reported.delete(oldest)
    reported.add(chunk)
    log.error(
      'stored data is lost: see what pachctl fsck says of it, check the disk or bucket, and restore it from a backup',
      error,
    )
  }
}
