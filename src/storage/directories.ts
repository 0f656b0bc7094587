import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FailedPreconditionError } from '../base/errors.ts'
import { systemCode } from './file-errors.ts'

/**
 * Makes a directory and those above it that are missing; one that exists is left as it is. Throws
 * what the operating system says (see `directoryError`).
 *
 * Level by level, for Node's own recursive `mkdir` never returns below a directory that takes none
 * (in `/proc`), and takes a read-only disk for a missing one.
 *
 * @param mode - of the last one, when it is made, less the umask; of those above it as usual.
 * @throws {FailedPreconditionError} where the file system makes no directories at all.
 */
export async function makeDirectories(path: string, mode = 0o777): Promise<void> {
  const parent = dirname(path)
  try {
    await mkdir(path, { mode })
  } catch (error) {
    // A link that leads nowhere is said to be missing.
    if (systemCode(error) === 'EEXIST' && (await stat(path)).isDirectory()) return
    if (systemCode(error) !== 'ENOENT' || parent === path) throw error
    if (await isDirectory(parent)) {
      throw new FailedPreconditionError(
        `${path}: no directory can be made in ${parent}; choose a place on a disk`,
        { cause: error },
      )
    }
    await makeDirectories(parent)
    return await makeDirectories(path, mode)
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
}
