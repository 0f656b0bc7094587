import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { equalBytes } from '../../base/bytes.ts'
import type { FileChunkFields } from '../../base/download-messages.ts'
import { codeOf } from './local-errors.ts'

/** A file of at most this size is one chunk, whose hash is its own: `docs/formats/contents.md`. */
const oneChunkBytesMax = 256 * 1024
/** A larger file is several chunks. */
const chunkBytesMax = 4 * 1024 * 1024

/** How a local file is not what a server has. */
export type Mismatch = 'missing' | 'no file' | 'unreadable' | 'of another size' | 'different'

/** What a server says of a file. */
export interface ExpectedFile {
  readonly sizeBytes: number
  readonly hash: Uint8Array
  /** Asks what the file is made of. */
  readonly chunks: () => AsyncIterable<FileChunkFields>
}

/** Reads and hashes a local file. Undefined when it is what is expected. */
export async function mismatchOf(
  path: string,
  { sizeBytes, hash, chunks }: ExpectedFile,
): Promise<Mismatch | undefined> {
  const file = LocalFile.open(path)
  if (typeof file === 'string') return file
  using opened = file
  if (opened.sizeBytes !== sizeBytes) return 'of another size'
  if (sizeBytes <= chunkBytesMax && equalBytes(opened.hash(0, sizeBytes), hash)) return undefined
  if (sizeBytes <= oneChunkBytesMax) return 'different'
  return (await matchingBytes(opened, chunks())) === sizeBytes ? undefined : 'different'
}

/** How many bytes at the start of a local file are those of whole chunks; 0 when there is no file. */
export async function matchingStart(
  path: string,
  chunks: AsyncIterable<FileChunkFields>,
): Promise<number> {
  const file = LocalFile.open(path)
  if (typeof file === 'string') return 0
  using opened = file
  return await matchingBytes(opened, chunks)
}

async function matchingBytes(
  file: LocalFile,
  chunks: AsyncIterable<FileChunkFields>,
): Promise<number> {
  let matching = 0
  for await (const { hash, sizeBytes } of chunks) {
    if (sizeBytes <= 0 || matching + sizeBytes > file.sizeBytes) break
    if (!equalBytes(file.hash(matching, sizeBytes), hash)) break
    matching += sizeBytes
  }
  return matching
}

const bufferBytesMax = 1024 * 1024

/** A file that is no link. */
class LocalFile implements Disposable {
  readonly sizeBytes: number
  readonly #descriptor: number

  private constructor(descriptor: number, sizeBytes: number) {
    this.#descriptor = descriptor
    this.sizeBytes = sizeBytes
  }

  static open(path: string): LocalFile | 'missing' | 'no file' | 'unreadable' {
    let descriptor: number
    try {
      // A pipe must not be waited for.
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
      descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      const code = codeOf(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing'
      if (code === 'ELOOP' || code === 'ENXIO') return 'no file'
      if (code === 'EACCES' || code === 'EPERM') return 'unreadable'
      throw error
    }
    const stats = fstatSync(descriptor)
    if (stats.isFile()) return new LocalFile(descriptor, stats.size)
    closeSync(descriptor)
    return 'no file'
  }

  /** SHA-256 of `sizeBytes` from `start`. */
  hash(start: number, sizeBytes: number): Uint8Array {
    const buffer = Buffer.allocUnsafe(Math.min(bufferBytesMax, sizeBytes))
    const digest = createHash('sha256')
    for (let at = 0; at < sizeBytes;) {
      const wanted = Math.min(buffer.length, sizeBytes - at)
      const count = readSync(this.#descriptor, buffer, 0, wanted, start + at)
      if (count === 0) break
      digest.update(buffer.subarray(0, count))
      at += count
    }
    return digest.digest()
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor)
  }
}
