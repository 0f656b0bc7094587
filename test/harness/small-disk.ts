import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * A disk of so many MiB, and files, at a new directory, until it is disposed of; undefined where none
 * may be mounted.
 */
export async function mountSmallDisk(
  path: string,
  sizeMib: number,
  fileCountMax?: number,
): Promise<AsyncDisposable | undefined> {
  await mkdir(path)
  const files = fileCountMax === undefined ? '' : `,nr_inodes=${fileCountMax}`
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMib}m${files}`, 'tmpfs', path])
  } catch {
    return undefined
  }
  return {
    async [Symbol.asyncDispose]() {
      await run('umount', [path])
    },
  }
}
