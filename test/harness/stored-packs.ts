import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The files of the packs of a backup, or of the objects of a data directory, in the order of their names. */
export async function packsIn(path: string): Promise<readonly string[]> {
  const names = await readdir(join(path, 'packs'), { recursive: true }).catch(() => [])
  const packs = names
    .filter((name) => /[0-9a-f]{64}$/.test(name))
    .map((name) => join(path, 'packs', name))
  return packs.toSorted((left, right) => (left < right ? -1 : 1))
}

/** Those with contents of files of some size. */
export async function largePacks(path: string): Promise<readonly string[]> {
  const large: string[] = []
  for (const pack of await packsIn(path)) if ((await stat(pack)).size > 300_000) large.push(pack)
  return large
}

/** A bit in the middle, where chunks are. */
export async function flip(path: string): Promise<void> {
  const bytes = await readFile(path)
  const at = bytes.length >>> 1
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, bytes)
}
