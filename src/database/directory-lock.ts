import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type DomainError, UnavailableError } from '../base/errors.ts'
import { isBusy, translateFailure } from './sqlite/failure.ts'

/** The file that is locked. */
export const lockName = 'lock.db'

/**
 * Makes this the only server on a data directory, which exists, until the result is disposed or the
 * process ends, however it ends.
 *
 * The lock is SQLite's on an empty `lock.db`, since Node itself cannot lock a file. The operating
 * system drops it with the process, so nothing stale is left behind.
 *
 * @throws {UnavailableError} or what `refusal` makes, when another server has the directory.
 */
export async function lockDirectory(
  directory: string,
  refusal: (cause: unknown) => DomainError = (cause) => serverRuns(directory, cause),
): Promise<AsyncDisposable> {
  const path = join(directory, lockName)
  let lock: DatabaseSync | undefined
  try {
    lock = new DatabaseSync(path)
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    lock?.close()
    const failure = translateFailure(error, path)
    throw isBusy(error) ? refusal(error) : failure
  }
  const held = lock
  return {
    async [Symbol.asyncDispose]() {
      await Promise.resolve()
      held.close()
    },
  }
}

function serverRuns(directory: string, cause: unknown): UnavailableError {
  return new UnavailableError(
    `another server is running on ${directory}; stop it first, or give this one another data directory`,
    { cause },
  )
}
