import { readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Gives the files of the metadata that are there other names, and tells in words which; no server starts
 * without them.
 */
export async function moveMetadataAside(
  metadata: string,
  suffix: string,
): Promise<readonly string[]> {
  const [directory, name] = [dirname(metadata), basename(metadata)]
  const moved: string[] = []
  for (const file of await readdir(directory)) {
    if (![name, `${name}-wal`, `${name}-shm`, `${name}-open`].includes(file)) continue
    await rename(join(directory, file), join(directory, `${file}.${suffix}`))
    moved.push(`${file} to ${file}.${suffix}`)
  }
  return moved
}
