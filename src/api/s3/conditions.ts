import type { IncomingHttpHeaders } from 'node:http'
import type { Requirement } from '../../versioning/head-writes.ts'
import { S3Error } from './errors.ts'
import { entityTag } from './names.ts'

export interface Conditions {
  readonly match: string | undefined
  readonly noneMatch: string | undefined
  readonly modifiedSince: string | undefined
  readonly unmodifiedSince: string | undefined
}

/** `prefix` is empty, or that of the headers about the source of a copy. */
export function conditionsOf(headers: IncomingHttpHeaders, prefix = ''): Conditions {
  const header = (name: string): string | undefined => {
    const value = headers[`${prefix}${name}`]
    return typeof value === 'string' ? value : undefined
  }
  return {
    match: header('if-match'),
    noneMatch: header('if-none-match'),
    modifiedSince: header('if-modified-since'),
    unmodifiedSince: header('if-unmodified-since'),
  }
}

/**
 * By RFC 9110, section 13: a tag goes before a date. Dates count by the second, and are those of commits.
 */
export function outcomeOf(
  { match, noneMatch, modifiedSince, unmodifiedSince }: Conditions,
  file: { readonly tag: string; readonly changedAtMs: number },
): 'go on' | 'not modified' | 'failed' {
  const seconds = Math.floor(file.changedAtMs / 1000)
  if (match !== undefined) {
    if (!namesTag(match, file.tag)) return 'failed'
  } else if (unmodifiedSince !== undefined && seconds > secondsOf(unmodifiedSince)) return 'failed'
  if (noneMatch !== undefined) return namesTag(noneMatch, file.tag) ? 'not modified' : 'go on'
  if (modifiedSince !== undefined && seconds <= secondsOf(modifiedSince)) return 'not modified'
  return 'go on'
}

/** What a put requires of the file that is there. */
export function requirementOf(headers: IncomingHttpHeaders): Requirement | undefined {
  const { match, noneMatch } = conditionsOf(headers)
  if (match === undefined && noneMatch === undefined) return undefined
  return (hash) => {
    const tag = hash === undefined ? undefined : entityTag(hash)
    if (match !== undefined && tag === undefined) {
      throw new S3Error('NoSuchKey', 'if-match is given, and there is no file of that key')
    }
    const isMatch = match === undefined || (tag !== undefined && namesTag(match, tag))
    const isNone = noneMatch === undefined || tag === undefined || !namesTag(noneMatch, tag)
    if (isMatch && isNone) return
    throw preconditionFailed()
  }
}

export function preconditionFailed(): S3Error {
  return new S3Error(
    'PreconditionFailed',
    'a condition of the request does not hold for what is there',
  )
}

function namesTag(header: string, tag: string): boolean {
  if (header.trim() === '*') return true
  // S3 takes them without quotes, too.
  return header
    .split(',')
    .some((one) => `"${one.trim().replace(/^W\//, '').replaceAll('"', '')}"` === tag)
}

/** A date that is none keeps nothing from going on. */
function secondsOf(date: string): number {
  const at = Date.parse(date) / 1000
  return Number.isNaN(at) ? Number.NaN : at
}
