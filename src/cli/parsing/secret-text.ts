import { readFile } from 'node:fs/promises'
import { InvalidArgumentError } from '../../base/errors.ts'
import { systemText } from '../error-text.ts'

/** @throws {InvalidArgumentError} when the file cannot be read. */
export async function secretText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    const reason = cause instanceof Error ? systemText(cause.message) : String(cause)
    throw new InvalidArgumentError(`cannot read ${reason}`, { cause })
  })
}
