import { mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { OpenFiles } from './open-files.ts'

test('where few descriptors are allowed, few files are kept open', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pachyderm-open-files-'))
  const openCount = async (): Promise<number> => {
    const names = await readdir('/proc/self/fd')
    const links = await Promise.all(
      names.map(async (name) => await readlink(`/proc/self/fd/${name}`).catch(() => '')),
    )
    return links.filter((link) => link.startsWith(directory)).length
  }
  try {
    await using files = new OpenFiles(128, 64)
    for (let index = 0; index < 20; index += 1) {
      const path = join(directory, String(index))
      await writeFile(path, '')
      await files.with(path, async () => {})
    }
    await expect.poll(openCount).toBe(8)
  } finally {
    await rm(directory, { recursive: true })
  }
})
