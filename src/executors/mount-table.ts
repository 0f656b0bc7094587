import { readFileSync } from 'node:fs'

import { type Mount, parseMounts } from '../base/mount-table.ts'

/**
 * All that are there now, for a process; none where there is no such table, or it is out of this user's sight.
 * With `latin1`, what names them is as the kernel has it, one character for each byte.
 */
export function readMounts(
  encoding: 'utf8' | 'latin1' = 'utf8',
  processName = 'self',
): readonly Mount[] {
  return parseMounts(mountTableText(encoding, processName))
}

/** The table as the kernel writes it, for who compares; empty where there is none. */
export function mountTableText(encoding: 'utf8' | 'latin1' = 'utf8', processName = 'self'): string {
  try {
    return readFileSync(`/proc/${processName}/mountinfo`, encoding)
  } catch {
    return ''
  }
}
