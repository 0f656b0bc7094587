import { readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Gives the files of the metadata that are there other names, and tells people which, and how they come back: no
 * line when there are none. No server starts without them.
 */
export async function moveMetadataAside(
  metadata: string,
  suffix: string,
): Promise<string | undefined> {
  const [directory, name] = [dirname(metadata), basename(metadata)]
  const moved: string[] = []
  for (const file of await readdir(directory)) {
    if (![name, `${name}-wal`, `${name}-shm`, `${name}-open`].includes(file)) continue
    await rename(join(directory, file), join(directory, `${file}.${suffix}`))
    moved.push(`${file} to ${file}.${suffix}`)
  }
  if (moved.length === 0) return undefined
  return `moved ${moved.join(', ')} aside: with no server running, their former names bring them back`
}
