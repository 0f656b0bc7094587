import { type FileHandle, open } from 'node:fs/promises'
import type { ByteStream } from '../../base/bytes.ts'
import type { Progress } from '../printing/progress.ts'

/**
 * Writes `bytes` to a local file, which is made, or emptied, when the first of them or their end
 * has come: what was there before survives a file that cannot be had.
 */
export async function storeFile(
  bytes: ByteStream,
  path: string,
  progress: Progress,
): Promise<void> {
  let file: FileHandle | undefined
  try {
    for await (const slice of bytes) {
      file ??= await open(path, 'w')
      await writeAll(file, slice)
      progress.addBytes(slice.length)
    }
    file ??= await open(path, 'w')
  } finally {
    await file?.close()
  }
  progress.addFile()
}

async function writeAll(file: FileHandle, slice: Uint8Array): Promise<void> {
  for (let offset = 0; offset < slice.length;) {
    const { bytesWritten } = await file.write(slice, offset)
    offset += bytesWritten
  }
}
