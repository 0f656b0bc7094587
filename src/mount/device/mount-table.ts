import { readFileSync, writeFileSync } from 'node:fs'

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
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** Our mounts in what the kernel says of all. */
export function parseMounts(text: string): readonly MountRow[] {
  const rows: MountRow[] = []
  for (const line of text.split('\n')) {
    // Up to a lone hyphen there may be any number of fields; then comes the type.
    const [before = '', after = ''] = line.split(' - ', 2)
    const [, , device = '', , directory = ''] = before.split(' ')
    if (after.split(' ')[0] === mountType) rows.push({ device, directory: unescaped(directory) })
  }
  return rows
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

/** Blanks and the like are written as three octal digits, byte by byte. */
function unescaped(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1')
  const plain = bytes.replaceAll(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
  return Buffer.from(plain, 'latin1').toString('utf8')
}
