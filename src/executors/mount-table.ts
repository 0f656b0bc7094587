import { readFileSync } from 'node:fs'

import { type Mount, parseMounts } from '../base/mount-table.ts'

/** All that are there now; none where there is no such table. */
export function readMounts(): readonly Mount[] {
  try {
    return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'))
  } catch {
    return []
  }
}
