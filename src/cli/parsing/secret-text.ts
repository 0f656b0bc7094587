import { readFile } from 'node:fs/promises'
import { InvalidArgumentError } from '../../base/errors.ts'

/** @throws {InvalidArgumentError} when the file cannot be read. */
export async function secretText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new InvalidArgumentError(
      `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  })
}
