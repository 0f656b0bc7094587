import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { commitFiles, fileOf, getText } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

test('a chunk that is damaged on the disk is told to its reader, once to the operator, and mended by a put', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  const text = Array.from({ length: 30_000 }, (_, index) => `${index * 7919}`).join(' ')
  {
    await using pachd = await TestPachd.start({ root })
    await pachd.pfs.createRepo({ repo: { name: 'r' } })
    await commitFiles(pachd, { repo: 'r', branch: 'master' }, { large: text })
  }
  const names = await readdir(join(root, 'objects'), { recursive: true, withFileTypes: true })
  for (const pack of names.filter((entry) => entry.isFile())) {
    const path = join(pack.parentPath, pack.name)
    const bytes = await readFile(path)
    if (bytes.length > 50_000) bytes.fill(0, 20_000, 20_100)
    await writeFile(path, bytes)
  }
  await using pachd = await TestPachd.start({ root })
  for (const _ of [1, 2]) {
    await expect(getText(pachd, fileOf('r', 'master', 'large'))).rejects.toThrow('is damaged')
  }
  const told = pachd.log.filter((line) => line.includes('stored data is lost'))
  expect(told).toHaveLength(1)
  expect(told[0]).toMatch(/chunk [0-9a-f]{64} at offset \d+ of pack .* is damaged/)

  await pachd.pfs.createRepo({ repo: { name: 'again' } })
  await commitFiles(pachd, { repo: 'again', branch: 'master' }, { same: text })
  expect(await getText(pachd, fileOf('again', 'master', 'same'))).toBe(text)
  expect(await getText(pachd, fileOf('r', 'master', 'large'))).toBe(text)
})
