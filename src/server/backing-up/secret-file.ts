import { readFile } from 'node:fs/promises'
import { type BackupSecret, secretInFile } from '../../backups/sealing.ts'
import { directoryError } from '../../storage/file-errors.ts'
import type { SecretFile } from '../server-config.ts'

/** @throws {FailedPreconditionError} when it cannot be read. @throws {InvalidArgumentError} */
export async function readSecretFile(
  file: SecretFile | undefined,
): Promise<BackupSecret | undefined> {
  if (file === undefined) return undefined
  const { kind, path } = file
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw directoryError(error, `the file with the ${kind} of backups, ${path}`, path)
  })
  return secretInFile(kind, path, text)
}
