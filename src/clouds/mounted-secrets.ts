import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * The files of a secret that is mounted as a directory, as deployments of 1.5 do it: `amazon-secret` has
 * `id`, `secret`, `token` and `region`. What is missing is empty.
 */
export async function readSecret<Name extends string>(
  directory: string,
  secret: string,
  names: readonly Name[],
): Promise<Readonly<Record<Name, string>>> {
  const values: [Name, string][] = []
  for (const name of names) {
    const text = await readFile(join(directory, secret, name), 'utf8').catch(() => '')
    values.push([name, text.trim()])
  }
  return Object.fromEntries(values) as Record<Name, string>
}
