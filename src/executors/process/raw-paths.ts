/**
 * A path as the kernel has it, one character for each byte (`latin1`): names need not be UTF-8, and a path that was
 * read as such leads nowhere. What takes paths apart, or puts them together, takes these, too.
 */
export type RawPath = string

export function rawPath(path: string): RawPath {
  return Buffer.from(path, 'utf8').toString('latin1')
}

/** As the system takes it. */
export function bytesOf(path: RawPath): Buffer {
  return Buffer.from(path, 'latin1')
}

/** As a mount table writes it, with three octal digits for a byte, and in ASCII: Node passes arguments in UTF-8. */
export function tableField(path: RawPath): string {
  return path.replaceAll(
    /[^!-[\]-~]/g,
    (byte) => `\\${(byte.codePointAt(0) ?? 0).toString(8).padStart(3, '0')}`,
  )
}
