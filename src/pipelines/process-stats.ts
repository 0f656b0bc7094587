import { addBytes } from '../base/byte-sums.ts'

/** What datums cost, added up. */
export interface ProcessStats {
  readonly downloadMs: number
  readonly processMs: number
  readonly uploadMs: number
  readonly downloadBytes: number
  readonly uploadBytes: number
}

export const noStats: ProcessStats = {
  downloadMs: 0,
  processMs: 0,
  uploadMs: 0,
  downloadBytes: 0,
  uploadBytes: 0,
}

export function addStats(left: ProcessStats, right: ProcessStats): ProcessStats {
  return {
    downloadMs: left.downloadMs + right.downloadMs,
    processMs: left.processMs + right.processMs,
    uploadMs: left.uploadMs + right.uploadMs,
    downloadBytes: addBytes(left.downloadBytes, right.downloadBytes),
    uploadBytes: addBytes(left.uploadBytes, right.uploadBytes),
  }
}

/** The columns of a row that say what datums cost. */
export function statsOf(row: {
  readonly download_ms: number
  readonly process_ms: number
  readonly upload_ms: number
  readonly download_bytes: number
  readonly upload_bytes: number
}): ProcessStats {
  return {
    downloadMs: row.download_ms,
    processMs: row.process_ms,
    uploadMs: row.upload_ms,
    downloadBytes: row.download_bytes,
    uploadBytes: row.upload_bytes,
  }
}
