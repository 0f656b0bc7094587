import { dirname } from 'node:path'

import { DomainError } from '../../base/errors.ts'
import { fileError, systemCode } from '../../storage/file-errors.ts'

/** What the machine, or who runs it, can do something about: the files of a datum are none of its code's. */
const ofTheMachine: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE'])

/**
 * What it means that the files around a datum could not be written below `directory`, or where the error
 * says; anything else as it is. Ask at once: what is full may not be for long.
 */
export function workFilesError(error: unknown, directory: string): unknown {
  if (error instanceof DomainError || !ofTheMachine.has(systemCode(error))) return error
  const place = placeOf(error) ?? directory
  return fileError(error, `files for a datum at ${place}`, place)
}

/** The directory in which a failed call was to make something. */
function placeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { dest, path }: NodeJS.ErrnoException & { readonly dest?: unknown } = error
  const target = dest ?? path
  return typeof target === 'string' ? dirname(target) : undefined
}
