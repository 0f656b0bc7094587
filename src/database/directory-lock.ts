import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { UnavailableError } from '../base/errors.ts'
import { isBusy, translateFailure } from './sqlite/failure.ts'

/**
 * Makes this the only server on a data directory, which exists, until the result is disposed or the
 * process ends, however it ends.
 *
 * The lock is SQLite's on an empty `lock.db`, since Node itself cannot lock a file. The operating
 * system drops it with the process, so nothing stale is left behind.
 *
 * @throws {UnavailableError} when another server has the directory.
 */
export async function lockDirectory(directory: string): Promise<AsyncDisposable> {
  const path = join(directory, 'lock.db')
  let lock: DatabaseSync | undefined
  try {
    lock = new DatabaseSync(path)
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    lock?.close()
    const failure = translateFailure(error, path)
    if (isBusy(error)) {
      throw new UnavailableError(
        `another server is running on ${directory}; stop it first, or give this one another data directory`,
        { cause: error },
      )
    }
    throw failure
  }
  const held = lock
  return {
    async [Symbol.asyncDispose]() {
      await Promise.resolve()
      held.close()
    },
  }
}
