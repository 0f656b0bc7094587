import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { DataLossError, DiskFullError, DomainError, UnavailableError } from '../../base/errors.ts'

// Primary result codes, https://sqlite.org/rescode.html; an extended code keeps them in its low byte.
const generic = 1
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

/** What SQLite makes the file with the index of its log grow by. */
const sharedBytes = 32 * 1024

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
      return new DiskFullError(dirname(where), options)
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
      if (isDiskFull(where)) return new DiskFullError(dirname(where), options)
      return new UnavailableError(
        `${where} cannot be opened (${detail}); check that its directory exists and may be written`,
        options,
      )
    case ioError:
      if (isDiskFull(where)) return new DiskFullError(dirname(where), options)
      return new UnavailableError(
        `${where} cannot be read or written (${detail}); check its disk`,
        options,
      )
    case busy:
    case locked:
      return new UnavailableError(`${where} is in use by another program (${detail})`, options)
    case generic:
      if (!/^no such (table|column)/.test(detail)) return plainFailure(detail, where, sql, options)
      return new DataLossError(
        `${where} is damaged (${detail}); stop the server, keep a copy of the file, and restore the newest backup`,
        options,
      )
    case constraint:
      return new Error(
        `invariant broken: ${detail}${sql === undefined ? '' : ` in: ${sql}`}`,
        options,
      )
    default:
      return plainFailure(detail, where, sql, options)
  }
}

function plainFailure(
  detail: string,
  where: string,
  sql: string | undefined,
  options: ErrorOptions,
): Error {
  return sql === undefined
    ? new Error(`${where}: ${detail}`, options)
    : new Error(`${detail} in: ${sql}`, options)
}

/** Whether SQLite refused a statement for what it says, and not for what the machine does. */
export function isRefused(failure: unknown): boolean {
  const cause = failure instanceof Error ? failure.cause : undefined
  return primaryCode(failure) === generic || primaryCode(cause) === generic
}

/**
 * Whether the disk of a file is what stands in the way of opening it. SQLite says only that it could
 * not read or write, when there is no room for the 32 KiB that its connections share.
 */
function isDiskFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(path))
    return bavail * bsize < sharedBytes
  } catch {
    return false // then the disk has another trouble, which the failure tells
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
