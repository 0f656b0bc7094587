import { readFileSync, writeFileSync } from 'node:fs'

import { parseMounts } from '../../base/mount-table.ts'

/** As the kernel lists mounts of ours. */
export const mountType = 'fuse.pfs'

/** A mount of ours. */
export interface MountRow {
  readonly directory: string
  /** The number by which the kernel knows it: `0:48`. */
  readonly device: string
}

/** Those that are there now, be they still served or not. */
export function readMounts(): readonly MountRow[] {
  return parseMountRows(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** Our mounts in what the kernel says of all. */
export function parseMountRows(text: string): readonly MountRow[] {
  return parseMounts(text)
    .filter(({ type }) => type === mountType)
    .map(({ device, point }) => ({ device, directory: point }))
}

/**
 * Has the kernel ask for larger pieces when files are read in order. Only root may, and only where the
 * system lets it; without, reading takes more requests.
 */
export function raiseReadAhead(directory: string, sizeBytes: number): void {
  const row = readMounts().find((mount) => mount.directory === directory)
  if (row === undefined) return
  try {
    writeFileSync(`/sys/class/bdi/${row.device}/read_ahead_kb`, String(sizeBytes / 1024))
  } catch {
    // As it was, then.
  }
}
