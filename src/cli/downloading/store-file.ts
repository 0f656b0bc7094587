import { writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { concatBytes, type ByteStream } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { Progress } from '../printing/progress.ts'

/** What is smaller is written at once, which for many small files is several times as fast. */
const smallBytesMax = 256 * 1024

/**
 * Writes `bytes` to a local file, which is made, or emptied, when enough of them or their end has
 * come: what was there before survives a file that cannot be had.
 */
export async function storeFile(
  bytes: ByteStream,
  path: string,
  progress: Progress,
): Promise<void> {
  let held: Uint8Array[] = []
  let heldBytes = 0
  let file: FileHandle | undefined
  try {
    for await (const slice of bytes) {
      progress.addBytes(slice.length)
      held.push(slice)
      heldBytes += slice.length
      if (heldBytes < smallBytesMax) continue
      file ??= await open(path, 'w')
      // As one: given as several, each would be a write of its own.
      await file.writeFile(concatBytes(held))
      held = []
      heldBytes = 0
    }
    if (file === undefined) writeFileSync(path, concatBytes(held))
    else if (held.length > 0) await file.writeFile(concatBytes(held))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EISDIR')) throw error
    throw new InvalidArgumentError(
      `${path} is a directory: name the file to be made, as in ${join(path, 'NAME')}`,
      { cause: error },
    )
  } finally {
    await file?.close()
  }
  progress.addFile()
}
