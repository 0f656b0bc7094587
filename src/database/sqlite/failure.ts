import {
  DataLossError,
  DomainError,
  ResourceExhaustedError,
  UnavailableError,
} from '../../base/errors.ts'

// Primary result codes, https://sqlite.org/rescode.html; an extended code keeps them in its low byte.
const perm = 3
const busy = 5
const locked = 6
const readOnly = 8
const ioError = 10
const corrupt = 11
const full = 13
const cannotOpen = 14
const constraint = 19
const notADatabase = 26

/**
 * What SQLite threw, in words that say what to do. Conditions of the machine become `DomainError`s;
 * what only wrong SQL can cause stays a plain error, since it is a bug. `where` is the database file.
 */
export function translateFailure(failure: unknown, where: string, sql?: string): Error {
  if (failure instanceof DomainError) return failure
  const detail = failure instanceof Error ? failure.message : String(failure)
  const options = { cause: failure }
  switch (primaryCode(failure)) {
    case full:
      return new ResourceExhaustedError(
        `disk full: ${where} cannot grow; free some space and try again`,
        options,
      )
    case corrupt:
    case notADatabase:
      return new DataLossError(
        `${where} is damaged (${detail}); stop the server, keep a copy of the file, and restore the newest backup`,
        options,
      )
    case readOnly:
    case perm:
      return new UnavailableError(
        `${where} cannot be written (${detail}); check its owner, its mode and how its disk is mounted`,
        options,
      )
    case cannotOpen:
      return new UnavailableError(
        `${where} cannot be opened (${detail}); check that its directory exists and may be written`,
        options,
      )
    case ioError:
      return new UnavailableError(
        `${where} cannot be read or written (${detail}); check its disk`,
        options,
      )
    case busy:
    case locked:
      return new UnavailableError(`${where} is in use by another program (${detail})`, options)
    case constraint:
      return new Error(
        `invariant broken: ${detail}${sql === undefined ? '' : ` in: ${sql}`}`,
        options,
      )
    default:
      return sql === undefined
        ? new Error(`${where}: ${detail}`, options)
        : new Error(`${detail} in: ${sql}`, options)
  }
}

/** Whether another connection holds a lock that was needed. */
export function isBusy(failure: unknown): boolean {
  return primaryCode(failure) === busy
}

function primaryCode(failure: unknown): number | undefined {
  if (!(failure instanceof Error) || !('errcode' in failure)) return undefined
  return typeof failure.errcode === 'number' ? failure.errcode & 0xff : undefined
}
