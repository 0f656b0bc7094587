import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { pachdFlags } from '../testing/pachd-flags.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'

const child = fileURLToPath(new URL('../testing/memory-child.ts', import.meta.url))

test('a content larger than the bound on memory is written and read within it', async () => {
  await using directory = await TemporaryDirectory.create()
  const args = [...pachdFlags(), child, directory.path, '640']
  const { stdout } = await promisify(execFile)(process.execPath, args)
  // About 95 MiB are Node's and SQLite's own.
  expect(Number(stdout) / 1024).toBeLessThan(350)
})
