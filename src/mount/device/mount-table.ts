import { readFileSync } from 'node:fs'

/** As the kernel lists mounts of ours. */
export const mountType = 'fuse.pfs'

/** Directories where a pachctl has mounted something, be that still served or not. */
export function mountedDirectories(): readonly string[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** The directories of our mounts in what the kernel says of all. */
export function parseMounts(text: string): readonly string[] {
  const directories: string[] = []
  for (const line of text.split('\n')) {
    // Up to a lone hyphen there may be any number of fields; then comes the type.
    const [before = '', after = ''] = line.split(' - ', 2)
    const directory = before.split(' ')[4]
    if (after.split(' ')[0] === mountType && directory !== undefined) {
      directories.push(unescaped(directory))
    }
  }
  return directories
}

/** Blanks and the like are written as three octal digits, byte by byte. */
function unescaped(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1')
  const plain = bytes.replaceAll(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
  return Buffer.from(plain, 'latin1').toString('utf8')
}
