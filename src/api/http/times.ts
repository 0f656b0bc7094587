import type { Instant } from '../../base/clock.ts'

const microsPerMilli = 1000

/** As header fields have it: `Thu, 26 Nov 2026 03:25:39 GMT`. */
export function dateText(at: Instant): string {
  return new Date(at / microsPerMilli).toUTCString()
}

/** RFC 3339, to the second: `2026-11-26T03:25:39Z`. */
export function isoText(at: Instant): string {
  return new Date(at / microsPerMilli).toISOString().replace(/\.\d+Z$/, 'Z')
}
